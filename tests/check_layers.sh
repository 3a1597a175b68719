#!/bin/sh
# Checks every #include of the tree against its layers:
#
#   core/base <- json <- loop <- http <- host <- daemon; cli stands beside daemon, which may call it, and may use
#   plugins/common/jose; plugins include <andiron/...>, plugins/common/*, their own folder.
#
# Usage: check_layers.sh [ROOT]. Prints file:line and the rule for each breach; exit status 1 if there is any.
set -eu
export LC_ALL=C
root=${1:-$(dirname "$0")/..}
cd "$root"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
for folder in include core plugins examples fuzz bench tests; do
    [ ! -d "$folder" ] || find "$folder" \( -name '*.[ch]' -o -name '*.inc' \) -not -path '*/node_modules/*'
done | sort >"$list"

# shellcheck disable=SC2046
awk -v list="$list" '
BEGIN {
    rank["base"] = 0; rank["json"] = 1; rank["loop"] = 2; rank["http"] = 3
    rank["host"] = 4; rank["cli"] = 5; rank["daemon"] = 6
    # What core/base and core/json may know: the C library, POSIX and the journal.
    plain = "^(andiron/|cmocka\\.h$|sys/|systemd/|linux/|netinet/|arpa/|sanitizer/|[a-z]+intrin\\.h$|[a-z0-9_]+\\.h$)"
    libraries = "^(zlib|ini|jansson|sqlite3|pcre2|libpq-fe|nghttp2|event|evhttp)\\.h$"
    c_library = "^(andiron/[a-z]+|assert|complex|ctype|errno|float|inttypes|limits|math|setjmp|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|time|wchar)\\.h$"
    while ((getline path < list) > 0)
        exists[path] = 1
    close(list)
}
function breach(why) {
    printf "%s:%d: %s: %s\n", FILENAME, FNR, why, $0
    bad = 1
}
# "plugins/common/fhir/generated" + "../tables.h" -> "plugins/common/fhir/tables.h"
function join(folder, name) {
    while (name ~ /^\.\.\//) {
        sub(/^\.\.\//, "", name)
        if (!sub(/\/[^\/]*$/, "", folder)) folder = ""
    }
    return folder == "" ? name : folder "/" name
}
# The file of the tree that a quoted include means, or "".
function resolve(name,    i, path, roots, n) {
    path = join(own, name)
    if (path in exists) return path
    n = split(is_plugin ? "plugins core ." : "core plugins .", roots, " ")
    for (i = 1; i <= n; i++) {
        path = roots[i] == "." ? name : roots[i] "/" name
        if (path in exists) return path
    }
    return ""
}
FNR == 1 {
    own = FILENAME
    sub(/\/[^\/]*$/, "", own)
    n = split(FILENAME, part, "/")
    top = part[1]; unit = part[2]
    is_plugin = top == "plugins"
    is_common = is_plugin && unit == "common"
    folder = is_common ? part[1] "/" part[2] "/" part[3] : part[1] "/" part[2]
    is_test = part[n] ~ /^test_/
    if (top == "core" && !(unit in rank)) {
        printf "%s:1: core/%s is not a layer\n", FILENAME, unit
        bad = 1
    }
}
!/^[ \t]*#[ \t]*include[ \t]*["<]/ { next }
{
    name = $0
    sub(/^[^"<]*["<]/, "", name)
    sub(/[">].*$/, "", name)
    quoted = $0 ~ /include[ \t]*"/
}
top == "include" && (quoted || name !~ c_library) { breach("public headers include only the C library and <andiron/...>"); next }
top == "examples" && quoted && index(resolve(name), own "/") != 1 { breach("examples include only <andiron/...> and their own folder"); next }
top == "core" && unit ~ /^(base|json)$/ && !quoted && (name !~ plain || name ~ libraries) { breach("core/" unit " stands on the C library alone"); next }
!quoted { next }
top == "core" {
    target = resolve(name)
    split(target, to, "/")
    if (target == "") breach("no such file")
    else if (to[1] == "core" && rank[to[2]] > rank[unit]) breach("core/" unit " may not include core/" to[2])
    else if (to[1] == "plugins" && !(unit == "cli" && target ~ /^plugins\/common\/jose\//)) breach("core does not know plugins")
    next
}
is_plugin {
    target = resolve(name)
    if (target == "") breach("no such file")
    else if (index(target, folder "/") == 1) ;
    else if (target ~ /^plugins\/common\//) ;
    else if (target ~ /^plugins\//) breach("a plugin does not include another plugin")
    else if (target ~ /^core\// && !is_test) breach("plugins include <andiron/...>, never core")
}
END { exit bad + 0 }
' $(cat "$list")
