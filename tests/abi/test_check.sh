#!/bin/sh
# check.sh tells growth from breakage: headers changed in one place each.
#
# Usage: test_check.sh ROOT
set -eu
root=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
command -v abidiff >/dev/null || { echo "skipped: abidiff (abigail-tools) is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cases=0

# expect STATUS WHAT HEADER SED-SCRIPT
expect() {
    rm -rf "$work/include"
    cp -r "$root/include" "$work"
    sed -i "$4" "$work/include/andiron/$3"
    ! cmp -s "$root/include/andiron/$3" "$work/include/andiron/$3" || { echo "FAIL: nothing was changed: $2" >&2; exit 1; }
    status=0
    "$here/check.sh" "$work" >"$work/out" 2>&1 || status=$?
    [ $status -eq "$1" ] || { cat "$work/out"; echo "FAIL: $2: gave $status, not $1" >&2; exit 1; }
    cases=$((cases + 1))
}

expect 0 "a function is added" base.h '/^ANDIRON_API andiron_usec andiron_now/i ANDIRON_API int andiron_added(void);'
expect 0 "an enum value is added at the end" error.h 's/^\(    ANDIRON_E_CODE\)  *\/\*/\1, ANDIRON_E_ADDED \/*/'
expect 0 "a struct with its size grows" policy.h '/^struct andiron_policy_engine {/,/^};/ s/^};/    int (*added)(void *self);\n};/'
expect 0 "the plugin's table grows" plugin.h '/^struct andiron_plugin {/,/^};/ s/^};/    int (*added)(void *self);\n};/'
expect 1 "a function is removed" base.h '/^ANDIRON_API andiron_usec andiron_now/d'
expect 1 "a parameter is added" log.h 's/^ANDIRON_API void andiron_log(struct andiron_host \*host, /&int added, /'
expect 1 "a value type grows" base.h 's/^    size_t len; /    size_t len; int added; /'
expect 1 "a struct without its size grows" plugin.h 's/^    const char \*definition; /    const char *added; &/'
expect 1 "a member is put in front of others" policy.h 's/^    unsigned cost;/    int added; unsigned cost;/'
expect 1 "a member is gone" policy.h '/^    unsigned cost;/d'
expect 1 "a member is exchanged and another appended" policy.h 's/^    unsigned cost;/    const char *cost;/; /^struct andiron_policy_engine {/,/^};/ s/^};/    int (*added)(void *self);\n};/'
expect 1 "a member of a table changes its parameters" policy.h 's/^    void (\*release)(void \*self, /    void (*release)(/'
expect 1 "enum values move" error.h 's/^    ANDIRON_E_INVALID, /    ANDIRON_E_ADDED, &/'
expect 1 "an enum value is gone" error.h '/^    ANDIRON_E_CODE/d'
echo "ok: $cases cases"
