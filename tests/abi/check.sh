#!/bin/sh
# The plugin ABI against its baseline, andiron-1.abi: what is there must stay as it is. Added functions, enum values and
# members at the end of structs that begin with their size pass, with a note; all else fails with abidiff's report.
#
# Usage: check.sh ROOT [ANDIRON]    ANDIRON: the built program, whose exported symbols must be those of the headers
#        check.sh ROOT --baseline   prints a new baseline
set -eu
export LC_ALL=C
root=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
baseline=$here/andiron-1.abi
command -v abidiff >/dev/null || { echo "skipped: abidiff (abigail-tools) is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; echo "If the change is meant: raise ANDIRON_ABI_MAJOR, or before the first release run tools/abi-baseline and say why in docs/decisions.md." >&2; exit 1; }

"$here/interface" "$root" functions >"$work/functions"
"$here/interface" "$root" >"$work/interface.c"
gcc -std=gnu11 -g -O0 -shared -fPIC -I "$root/include" -o "$work/interface.so" -x c - <"$work/interface.c"

if [ "${2-}" = --baseline ]; then
    abidw --no-corpus-path --no-comp-dir-path --no-show-locs --no-parameter-names --no-architecture --no-elf-needed \
        --type-id-style hash "$work/interface.so"
    exit
fi

# Functions: the daemon exports those of the headers and none besides, and none of the baseline's is gone.
sed -n "s/.*<elf-symbol name='function_\([a-z0-9_]*\)'.*/\1/p" "$baseline" | sort -u >"$work/old"
gone=$(comm -23 "$work/old" "$work/functions")
[ -z "$gone" ] || fail "no longer in the headers:" $gone
if [ -n "${2-}" ]; then
    nm -D --defined-only "$2" | awk '$3 ~ /^andiron_/ { print $3 }' | sort -u >"$work/exported"
    missing=$(comm -23 "$work/functions" "$work/exported")
    [ -z "$missing" ] || fail "declared in the headers, not exported by $2:" $missing
    extra=$(comm -13 "$work/functions" "$work/exported")
    [ -z "$extra" ] || fail "exported by $2, in no header:" $extra
fi

# Types and signatures. Structs that begin with their size may grow at their end, and so may the plugin's table.
sized=$(awk '/^struct andiron_[a-z0-9_]* \{/ { name = $2; next } name != "" && /[a-z]/ { if ($0 ~ /^    size_t size;/) print name; if ($0 !~ /^ *(\/?\*|\/\*)/) name = "" }' \
    "$root"/include/andiron/*.h | sort -u | tr '\n' '|')
# So may those of stores and searches, until the first release: two stores must stand on them before they are frozen.
open=$(sed -n 's/^struct \(andiron_[a-z0-9_]*\) {.*/\1/p' "$root/include/andiron/store.h" "$root/include/andiron/search.h" | tr '\n' '|')
cat >"$work/may-grow" <<INI
[suppress_type]
type_kind = struct
name_regexp = ^(${sized}${open}andiron_plugin)\$
has_data_member_inserted_at = end
INI
status=0
abidiff --no-added-syms --suppressions "$work/may-grow" --no-architecture "$baseline" "$work/interface.so" >"$work/report" 2>&1 || status=$?
[ $status -eq 0 ] || { cat "$work/report"; fail "the ABI has changed"; }

# What abidiff was told to overlook are growing structs as a whole: the members they had must stand where they stood.
"$here/check.sh" "$root" --baseline >"$work/now.abi"
members() {
    awk -F "'" '/<class-decl name=/ { name = $2 } /<data-member/ { at = $4 } /^        <var-decl/ && name != "" { print name "." $2, "at bit", at, $4 } /<\/class-decl/ { name = "" }' "$1" | sort
}
members "$baseline" >"$work/members.old"
members "$work/now.abi" >"$work/members.now"
moved=$(comm -23 "$work/members.old" "$work/members.now" | cut -d ' ' -f 1-4)
[ -z "$moved" ] || fail "gone, moved or of another type: $moved"
cmp -s "$baseline" "$work/now.abi" || {
    echo "note: the ABI has grown since the baseline was taken; run tools/abi-baseline:"
    comm -13 "$work/old" "$work/functions" | sed 's/^/    function /'
    abidiff --no-architecture "$baseline" "$work/interface.so" | sed -n '/insertion/,+1p; /added/p' | sort -u | head -n 40
}
echo "ok: $(wc -l <"$work/functions") functions"
