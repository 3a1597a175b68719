/*
 * What supervisor and worker say to each other, over one SOCK_SEQPACKET pair: each message is
 * one packet, and an end that is gone is seen at once.
 */
#ifndef CORE_DAEMON_LINK_H
#define CORE_DAEMON_LINK_H

#include <andiron/base.h>

enum link_kind {
    LINK_NONE,
    /* worker -> supervisor */
    LINK_READY,  /* serves; text: what it is configured with, see supervisor.c */
    LINK_FAILED, /* cannot start; text: why. Its exit status follows */
    LINK_CRASH,  /* dies; text: signal, plugin and request id */
    LINK_RELOAD, /* somebody asked for a reload */
    LINK_STOP,   /* somebody asked for a stop */
    /* supervisor -> worker */
    LINK_DRAIN,    /* another worker serves now */
    LINK_END,      /* drain, and give up the sockets */
    LINK_REOPEN,   /* log files */
    LINK_RELOADED, /* the reload is over; text: empty, or why it failed */
    LINK_COUNTS    /* text: "OK FAILED AT", reloads so far and when the last was, in microseconds */
};

enum { LINK_TEXT_MAX = 48 * 1024 };

struct link_message {
    enum link_kind kind;
    size_t len;
    char text[LINK_TEXT_MAX + 1]; /* NUL-terminated */
};

/* A longer text is cut. -1 if the other end is gone or does not read. Any thread. */
int link_send(int fd, enum link_kind kind, andiron_str text);

/* 1 and a message, 0 if there is none now, -1 if the other end is gone. */
int link_receive(int fd, struct link_message *ret);

#endif
