#!/bin/sh
# Every public header compiles alone, as C11 and as C++17, without a warning, with each compiler there is.
#
# Usage: check_headers.sh [ROOT]. Exit status 1 if a header does not compile, or if there is no compiler.
set -eu
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
flags="-Wall -Wextra -pedantic -Werror -fsyntax-only"
checked=0 bad=0

check() { # COMPILER LANGUAGE STANDARD HEADER
    # shellcheck disable=SC2086
    printf '#include <andiron/%s>\n' "$4" | "$1" -x "$2" -std="$3" $flags -I "$root/include" - || {
        echo "include/andiron/$4: does not compile alone with $1 -std=$3" >&2
        bad=1
    }
    checked=$((checked + 1))
}

for header in "$root"/include/andiron/*.h; do
    header=${header##*/}
    for compiler in gcc clang; do
        ! command -v $compiler >/dev/null || check $compiler c c11 "$header"
    done
    for compiler in g++ clang++; do
        ! command -v $compiler >/dev/null || check $compiler c++ c++17 "$header"
    done
done
[ $checked -gt 0 ] || { echo "no compiler found" >&2; exit 1; }
echo "$checked checks"
exit $bad
