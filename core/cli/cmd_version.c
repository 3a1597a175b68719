/*
 * andiron version: this program and the libraries it runs with.
 */
#include <stdio.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <gnutls/gnutls.h>
#include <nettle/version.h>
#include <zlib.h>

#include "base/exits.h"
#include "cli/cli.h"
#include "cli/commands.h"

int cmd_version(int argc, char **argv)
{
    static const char *const words[] = { "--json", NULL };
    const struct {
        const char *name, *version;
    } libraries[] = {
        { "libevent", event_get_version() },
        { "GnuTLS", gnutls_check_version(NULL) },
        { "nettle", NULL },
        { "libcurl", curl_version_info(CURLVERSION_NOW)->version },
        { "zlib", zlibVersion() },
    };
    char nettle[32];

    if (!cli_words_ok(argc, argv, words))
        return EXIT_USAGE;
    (void)snprintf(nettle, sizeof(nettle), "%d.%d", nettle_version_major(), nettle_version_minor());
    bool json = cli_has(argc, argv, "--json");
    (void)printf(json ? "{\"andiron\":\"%s\",\"abi\":\"%d.%d\"" : "andiron %s, ABI %d.%d",
                 ANDIRON_VERSION, ANDIRON_ABI_MAJOR, ANDIRON_ABI_MINOR);
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
        (void)printf(json ? ",\"%s\":\"%s\"" : ", %s %s", libraries[i].name,
                     libraries[i].version != NULL ? libraries[i].version : nettle);
    (void)puts(json ? "}" : "");
    return EXIT_DONE;
}
