"""The files of the stage's page; a package so that they are installed with the program."""
