#!/usr/bin/env bash
# What packages are made of, without building one: scripts parse, each plugin has what its package needs, every installed
# file belongs to exactly one component, and the unit and the manual pages are in order where there are tools to ask.
#
# Usage: check_packaging.sh BUILD-DIR
set -euo pipefail
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
. packaging/lib.sh
. tools/packages
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
wrong() { echo "$*" >&2; status=1; }

for script in packaging/build-* packaging/test-* packaging/lib.sh packaging/system/andiron.completion; do
    bash -n "$script" || wrong "$script does not parse"
done
for script in packaging/make-* packaging/system/package-script packaging/debian/*.post* packaging/debian/*.pre* packaging/debian/*.p*.in; do
    sh -n "$script" || wrong "$script does not parse"
done
[ -n "$packages_packaging" ] || wrong "tools/packages has no packages_packaging"
check_plugins || status=1
[ "$(sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)" = "$(package_version)" ] || wrong "packaging/debian/changelog is not of version $(package_version)"

# ---- files: all that a whole installation has, each once ------------------------------------------
list() { (cd "$1" && find . \( -type f -o -type l \) | sort); }
DESTDIR=$work/whole cmake --install "$build" --prefix /usr >/dev/null
for component in core dev $(plugins | sed 's/^/module-/'); do
    DESTDIR=$work/parts/$component cmake --install "$build" --prefix /usr --component "$component" >/dev/null
    [ -d "$work/parts/$component" ] || { wrong "component $component installs nothing"; continue; }
    list "$work/parts/$component"
done >"$work/parts.list"
list "$work/whole" >"$work/whole.list"
sort "$work/parts.list" | diff - "$work/whole.list" >&2 || wrong "(<) files that several components install, or (>) none does"
for plugin in $(plugins); do
    [ "$(cd "$work/parts/module-$plugin" && find . -type f | sed 's|.*/||' | sort | tr '\n' ' ')" = "$(printf '%s\n' "$plugin.so" "$(plugin_conf "$plugin")" | sort | tr '\n' ' ')" ] ||
        wrong "module-$plugin installs other than $plugin.so and $(plugin_conf "$plugin")"
done

# ---- unit ----------------------------------------------------------------------------------------------
if command -v systemd-analyze >/dev/null; then
    mkdir "$work/units"
    sed "s|@CMAKE_INSTALL_FULL_BINDIR@|$build|g" packaging/system/andiron.service.in >"$work/units/andiron.service"
    cp packaging/system/andiron.socket "$work/units/"
    systemd-analyze security --offline=yes --threshold=13 "$work/units/andiron.service" >"$work/log" 2>&1 || { tail -n 1 "$work/log" >&2; wrong "andiron.service is exposed by more than 1.3"; }
    systemd-analyze verify --man=no "$work/units/andiron.service" "$work/units/andiron.socket" >"$work/log" 2>&1 || true # it may also complain of this machine
    ! grep andiron "$work/log" >&2 || wrong "systemd-analyze verify is not silent"
fi

# ---- manual pages -----------------------------------------------------------------------------------------
packaging/make-man "$build/andiron" "$build/modules" "$work/man" || wrong "make-man"
for plugin in $(plugins); do
    [ -s "$work/man/module-$plugin/man5/andiron-$plugin.5" ] || wrong "no page for $plugin"
done
grep -q '^\.It Cm "max-body = 64m"$' "$work/man/core/man5/andiron.conf.5" || wrong "andiron.conf(5) lacks core's directives"
grep -q '^\.It Cm "busy-timeout-loop = 10ms"$' "$work/man/module-store-sqlite/man5/andiron-store-sqlite.5" || wrong "andiron-store-sqlite(5) lacks its directives"
if command -v mandoc >/dev/null; then
    find "$work/man" -type f -print0 | xargs -0 mandoc -T lint -W warning >&2 || wrong "mandoc -T lint"
fi
exit $status
