/*
 * Exit statuses of the program, as sysexits has them and packaging-and-operations.md lists
 * them (CL-1).
 */
#ifndef CORE_BASE_EXITS_H
#define CORE_BASE_EXITS_H

enum exit_status {
    EXIT_DONE = 0,
    EXIT_USAGE = 64,       /* of the command line */
    EXIT_BAD_DATA = 65,    /* input is wrong */
    EXIT_NO_INPUT = 66,    /* input is missing */
    EXIT_UNREACHABLE = 69, /* the server does not answer */
    EXIT_INTERNAL = 70,
    EXIT_NO_OUTPUT = 73, /* cannot create it */
    EXIT_TRY_AGAIN = 75,
    EXIT_REFUSED = 77, /* 401 or 403 */
    EXIT_CONFIG = 78
};

#endif
