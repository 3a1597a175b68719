/*
 * A request to the running server over its control socket (libcurl).
 */
#ifndef CORE_CLI_CONTROL_H
#define CORE_CLI_CONTROL_H

#include <andiron/json.h>

/*
 * 0 and the answer, its body parsed into arena (MISSING if it is no JSON); else an exit
 * status, told on stderr. Waits as long as the server does.
 */
int control_call(struct andiron_arena *arena, const char *method, const char *target,
                 long *ret_status, andiron_str *ret_body, andiron_json *ret_json);

/* The same with a body; Content-Type says nothing of it. */
int control_send(struct andiron_arena *arena, const char *method, const char *target,
                 andiron_str sent, long *ret_status, andiron_str *ret_body, andiron_json *ret_json);

/* `reload` as the command does it, told on stdout or stderr; returns the exit status. */
int control_reload(void);

#endif
