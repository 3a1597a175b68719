#!/bin/sh
# A module of the oldest supported minor is loaded and judges as it always did.
#
# Usage: test_minor_0.sh ANDIRON
set -eu
andiron=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -o "$work/policy-minor-0.so" "$here/minor_0.c"

verdict() { # STATUS HOURS
    status=0
    "$andiron" explain-policy --module "$work/policy-minor-0.so" --request '{"uri":"/fhir/Patient/1"}' \
        --policy "{\"engine\":\"business-hours\",\"hours\":$2}" >"$work/out" 2>&1 || status=$?
    [ $status -eq "$1" ] || { cat "$work/out"; fail "$2 gave $status, not $1"; }
}
verdict 0 '{"from":"00:00","to":"24:00"}'
verdict 1 '{"from":"00:00","to":"00:00"}'
grep -q '^no match: it is [0-9][0-9]:[0-9][0-9] UTC$' "$work/out" || { cat "$work/out"; fail "the reason is lost"; }
verdict 2 '{"from":"8 am","to":"18:00"}'
grep -q 'AccessPolicy.hours: needs from and to' "$work/out" || { cat "$work/out"; fail "the error is lost"; }

mkdir -p "$work/etc/plugins.d"
printf '[core]\nmodule-path = %s\nstate-dir = %s/state\n[http]\nbase-url = http://127.0.0.1:8080\n' "$work" "$work" >"$work/etc/andiron.conf"
printf '[plugin policy-minor-0]\nmodule = policy-minor-0.so\n' >"$work/etc/plugins.d/50-policy-minor-0.conf"
"$andiron" -c "$work/etc" plugins >"$work/out" 2>&1 || { cat "$work/out"; fail "andiron plugins"; }
grep -q 'policy-minor-0 *1\.0\.0 *1\.0 ' "$work/out" || { cat "$work/out"; fail "it is not shown as a module of ABI 1.0"; }
echo ok
