/*
 * A consistent copy of the store as the answer to a control request: what `andiron backup` asks for.
 */
#ifndef CORE_DAEMON_SNAPSHOT_H
#define CORE_DAEMON_SNAPSHOT_H

#include "host/host.h"

/*
 * Has the store write the copy below state_dir, then sends it; the file has no name from the moment
 * it is complete. 501 if the store cannot do that, 404 if there is none.
 */
enum andiron_step snapshot_send(struct andiron_request *req, const struct host *host,
                                const char *state_dir);

#endif
