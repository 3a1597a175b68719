/*
 * One packet, one message: a byte for its kind, then text.
 */
#include "daemon/link.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

int link_send(int fd, enum link_kind kind, andiron_str text)
{
    unsigned char first = (unsigned char)kind;
    struct iovec parts[2] = {
        { .iov_base = &first, .iov_len = 1 },
        { .iov_base = (void *)(uintptr_t)text.data,
          .iov_len = text.len < LINK_TEXT_MAX ? text.len : LINK_TEXT_MAX },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = text.len > 0 ? 2 : 1 };
    ssize_t n;

    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

int link_receive(int fd, struct link_message *ret)
{
    unsigned char first = LINK_NONE;
    struct iovec parts[2] = {
        { .iov_base = &first, .iov_len = 1 },
        { .iov_base = ret->text, .iov_len = LINK_TEXT_MAX },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    ssize_t n;

    do
        n = recvmsg(fd, &message, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n <= 0)
        return -1;
    ret->kind = (enum link_kind)first;
    ret->len = (size_t)n - 1;
    ret->text[ret->len] = '\0';
    return 1;
}
