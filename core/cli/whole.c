/*
 * See whole.h.
 */
#include "cli/whole.h"

#include <errno.h>
#include <unistd.h>

int whole_write(int fd, andiron_str text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC; /* no file says this, but errno must not be an old one */
        if (n <= 0)
            return -1;
        text.data += n;
        text.len -= (size_t)n;
    }
    return 0;
}
