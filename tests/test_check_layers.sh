#!/bin/sh
# check_layers.sh finds each kind of breach, and only those.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree"

file() { # PATH LINE...
    mkdir -p "$(dirname "$1")"
    path=$1
    shift
    printf '%s\n' "$@" >"$path"
}
breaches() {
    "$here/check_layers.sh" "$tree" >out || true
    sed 's/: .*//' out | tr '\n' ' '
}
expect() { # WHAT EXPECTED
    got=$(breaches)
    [ "$got" = "$2" ] || { echo "$1: expected \"$2\", got \"$got\""; cat out; exit 1; }
}

file include/andiron/base.h '#include <stdint.h>'
file include/andiron/json.h '#include <andiron/base.h>'
file core/base/arena.h '#include <andiron/base.h>'
file core/json/parse.c '#include <string.h>' '' '#include "base/arena.h"' '#include "tape.h"'
file core/json/tape.h '#include <andiron/json.h>'
file core/http/conn.c '#include <event2/event.h>' '#include "json/tape.h"'
file core/cli/token.c '#include "common/jose/jws.h"'
file plugins/common/jose/jws.h '#include <gnutls/gnutls.h>'
file plugins/common/jose/generated/t.c '#include "../jws.h"'
file plugins/auth/token.c '#include <andiron/json.h>' '#include "common/jose/jws.h"' '#include "token.h"'
file plugins/auth/token.h '#include <stdbool.h>'
file plugins/auth/test_token.c '#include "base/arena.h"' '#include "token.h"'
expect "a proper tree" ""

file include/andiron/bad.h '#include <gnutls/gnutls.h>' '#include "base.h"'
file core/base/bad.c '#include "json/tape.h"' '#include <event2/event.h>'
file core/json/bad.c '  #  include "http/conn.h"'
file core/http/bad.h '#include "auth/token.h"' '#include "common/jose/jws.h"'
file plugins/auth/bad.c '#include "base/arena.h"' '#include "../search/x.h"' '#include "search/x.h"'
file plugins/search/x.h ''
file core/odd/odd.c ''
expect "breaches" "core/base/bad.c:1 core/base/bad.c:2 core/http/bad.h:1 core/http/bad.h:2 core/json/bad.c:1\
 core/odd/odd.c:1 include/andiron/bad.h:1 include/andiron/bad.h:2 plugins/auth/bad.c:1 plugins/auth/bad.c:2\
 plugins/auth/bad.c:3 "
