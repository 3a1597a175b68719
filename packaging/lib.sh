# What the packages are made of; for the scripts of this folder. Sourced with the root of the tree as current folder.

# What the seed walk-through needs: the package andiron-standard depends on these modules.
standard_plugins="access audit auth fhir jwks metrics policy-allow policy-matcho search smart store-sqlite"
# Modules that arrive switched off, since they must be configured first or replace another; for names that may not be there yet.
off_plugins="store-postgres"

package_version() { sed -n 's/^project(andiron VERSION \([0-9.]*\) .*/\1/p' CMakeLists.txt; }
abi_part() { sed -n "s/^#define ANDIRON_ABI_$1 *\([0-9]*\).*/\1/p" include/andiron/base.h; }
abi_version() { echo "$(abi_part MAJOR).$(abi_part MINOR)"; }

# Every folder of plugins/ but common/: whatever is there gets a package.
plugins() {
    local folder
    for folder in plugins/*/CMakeLists.txt; do
        folder=$(basename "$(dirname "$folder")")
        [ "$folder" = common ] || echo "$folder"
    done
}
# plugin_conf NAME: its one NN-NAME.conf.
plugin_conf() {
    local found=(plugins/"$1"/[0-9][0-9]-"$1".conf)
    [ ${#found[@]} -eq 1 ] && [ -f "${found[0]}" ] || { echo "plugins/$1 needs one file NN-$1.conf" >&2; return 1; }
    basename "${found[0]}"
}
# plugin_summary NAME: of its table.
plugin_summary() {
    local text
    text=$(sed -n '/\.summary = *"/{s/.*\.summary = *"\([^"]*\)".*/\1/p;q}' "plugins/$1"/*.c)
    [ -n "$text" ] || { echo "plugins/$1 has no .summary = \"...\" on one line" >&2; return 1; }
    echo "$text"
}
is_one_of() { case " $2 " in *" $1 "*) true ;; *) false ;; esac; }

# check_plugins: whatever would make a package wrong.
check_plugins() {
    local plugin status=0
    for plugin in $standard_plugins; do
        [ -f "plugins/$plugin/CMakeLists.txt" ] || { echo "standard_plugins names $plugin, which is no plugin" >&2; status=1; }
    done
    for plugin in $(plugins); do
        { plugin_conf "$plugin" && plugin_summary "$plugin"; } >/dev/null || status=1
    done
    return $status
}

# copy_tree DIR: what is in version control, as it is in the working tree; all but builds where there is none.
copy_tree() {
    mkdir -p "$1"
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard | tar --null -T - --ignore-failed-read -c | tar -x -C "$1"
    else
        tar -c --exclude=./.git --exclude=./build --exclude=./dist --exclude=node_modules . | tar -x -C "$1"
    fi
}
