"""The files of the two pages; a package so that they are installed with the program."""
