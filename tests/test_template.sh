#!/bin/sh
# A third party's first hour: the template, copied out of an installed prefix, builds with pkg-config, with CMake's
# package and with a bare compiler call, is installed, loaded, and judges a request.
#
# Usage: test_template.sh BUILD-DIR. Installs that build into a temporary prefix.
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
fail() { echo "FAIL: $*" >&2; exit 1; }

cmake --install "$build" --prefix "$prefix" >"$work/install.log" 2>&1 || { cat "$work/install.log"; fail "cmake --install"; }
pc=$(find "$prefix" -name andiron.pc)
[ -n "$pc" ] || fail "no andiron.pc"
# Installed below another prefix than the build was configured for: say so to pkg-config.
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
pc() { pkg-config --define-variable=prefix="$prefix" "$@" andiron; }
[ "$(pc --variable=abi)" = "$(pc --modversion)" ] || fail "the version of andiron.pc is not the ABI's"
template=$(pc --variable=templatedir)/policy-engine
[ -d "$template" ] || fail "no template at $template"
[ -x "$template/test.sh" ] || fail "test.sh lost its execute bit"
cp -r "$template" "$work/engine"
cd "$work/engine"

# A sanitized andiron wants sanitized modules no more than plain ones; the template is built as its README says.
# shellcheck disable=SC2046
${CC:-cc} -shared -fPIC -fvisibility=hidden -Wall -Wextra -Werror $(pc --cflags) -o "$work/by-hand.so" business_hours.c

sed -i.old "s,^prefix=.*,prefix=$prefix," "$(dirname "$pc")"/*.pc
cmake -S . -B build >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "configuring with pkg-config"; }
cmake --build build >>"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "building with pkg-config"; }
PATH=$prefix/bin:$PATH ctest --test-dir build --output-on-failure >"$work/ctest.log" 2>&1 || { cat "$work/ctest.log"; fail "ctest"; }
cmake --install build >>"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "installing the engine"; }
module=$(pc --variable=moduledir)/policy-business-hours.so
[ -f "$module" ] || fail "$module was not installed"
[ -f "$(pc --variable=pluginconfdir)/50-policy-business-hours.conf" ] || fail "its configuration was not installed"

# The same through find_package and andiron_add_module.
mkdir "$work/package"
cp business_hours.c "$work/package"
cat >"$work/package/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(policy-business-hours C)
find_package(andiron 1.0 REQUIRED)
andiron_add_module(policy-business-hours business_hours.c)
CMAKE
cmake -S "$work/package" -B "$work/package/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/cmake.log" 2>&1 &&
    cmake --build "$work/package/build" >>"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "find_package"; }
[ -f "$work/package/build/policy-business-hours.so" ] || fail "andiron_add_module gave the module another name"

# Loaded by the daemon it was installed for.
etc=$work/etc
mkdir -p "$etc/plugins.d"
cat >"$etc/andiron.conf" <<CONF
[core]
module-path = $(pc --variable=moduledir)
state-dir = $work/state
[http]
base-url = http://127.0.0.1:8080
CONF
cp 50-policy-business-hours.conf "$etc/plugins.d/"
for so in "$module" "$work/by-hand.so" "$work/package/build/policy-business-hours.so"; do
    [ "$so" = "$module" ] || cp "$so" "$module"
    "$prefix/bin/andiron" plugins -c "$etc" >"$work/out" || fail "andiron plugins"
    grep -q 'policy-business-hours *1\.0\.0 .*policy-engine/1:business-hours' "$work/out" || { cat "$work/out"; fail "$so is not loaded"; }
    "$prefix/bin/andiron" check-config -c "$etc" || fail "check-config with $so"
done
echo "ok"
