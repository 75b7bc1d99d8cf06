"""`make bench`: design.md's table "Numbers to reach", measured on this machine, each figure with its peer in the same run."""
