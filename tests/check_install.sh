#!/usr/bin/env bash
# check_install: what `cmake --install` lays down is whole: a program of somebody else is built against the library and runs, the
# library shows gs_* alone, and each manual page has every flag that --help has.
#
#   tests/check_install.sh BUILD_DIR [FLAG...]     FLAG: of the compiler, as sanitizers want them
set -euo pipefail
build=${1:?usage: check_install.sh BUILD_DIR [FLAG...]}
shift
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
broken=0

complain() {
    printf 'install: %s\n' "$*"
    broken=1
}

cmake --install "$build" --prefix "$place/usr" >"$place/log" || { cat "$place/log"; exit 1; }

for program in storaged indexer gribstore gribstore-decoder; do
    "$place/usr/bin/$program" --version >/dev/null || complain "$program does not run"
done

# --- manual pages ---

# has_flags PAGE COMMAND...: every flag that stands in the help of the command.
has_flags() {
    local page=$place/usr/share/man/man1/$1.1 flag flags
    shift
    [ -s "$page" ] || { complain "$page is not there"; return 0; }
    flags=$("$@" --help | sed -nE '/^Options:/,$ s/^(  -., |      )(--[^ ]*).*/\2/p')
    grep -qx -- --help <<<"$flags" || complain "$*: --help lists no flags"
    for flag in $flags; do
        grep -qF -- "\\fB${flag//-/\\-}\\fR" "$page" || complain "$page lacks $flag"
    done
}

for program in storaged indexer gribstore-decoder; do
    has_flags "$program" "$place/usr/bin/$program"
done
[ -s "$place/usr/share/man/man1/gribstore.1" ] || complain "gribstore.1 is not there"
commands=$("$place/usr/bin/gribstore" --help | sed -nE '/^Commands:/,$ s/^  ([a-z]+( [a-z-]+)?)  .*/\1/p')
grep -qx "cluster init" <<<"$commands" || complain "gribstore --help lists no commands"
while read -r command; do
    # shellcheck disable=SC2086 # a command may be two words
    has_flags "gribstore-${command// /-}" "$place/usr/bin/gribstore" $command
done <<<"$commands"

# --- the library ---

library=$(echo "$place"/usr/lib*/libgribstore.so "$place"/usr/lib/*/libgribstore.so | tr ' ' '\n' | grep -v '\*' | head -1)
shown=$(nm -D --defined-only "$library" | awk '{ print $3 }' | sort -u)
grep -qx gs_put <<<"$shown" || complain "$library does not show gs_put"
! grep -v '^gs_' <<<"$shown" || complain "$library shows the above"
declared=$(sed -nE 's/^GS_EXPORT .*[ *](gs_[a-z_]+)\(.*/\1/p' "$place/usr/include/gribstore.h" | sort -u)
[ "$declared" = "$shown" ] || complain "the header and $library differ: $(diff <(echo "$declared") <(echo "$shown") | tr '\n' ' ')"

cat >"$place/guest.c" <<'GUEST'
#include <gribstore.h>

#include <stdio.h>
#include <string.h>

/* Nobody listens at port 1: the library has to come back and say so. */
int main(void)
{
    struct gs_options options;
    struct gs_session *session;
    struct gs_error error;
    struct gs_run run;

    gs_options_init(&options);
    options.indexers = options.nodes = "http://127.0.0.1:1";
    options.retry_ms = 1;
    if (gs_open(&options, &session, &error) != GS_OK)
        return 1;
    enum gs_status status = gs_run(session, "hres", "20130408T0000Z", &run, &error);
    gs_close(session);
    printf("%s %s %d\n", gs_version(), gs_status_name(status), error.text[0] != '\0');
    return 0;
}
GUEST
PKG_CONFIG_PATH=$(dirname "$library")/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # flags are words
"${CC:-cc}" -std=c11 -Wall -Wextra -Werror "$@" -o "$place/guest" "$place/guest.c" $(pkg-config --cflags --libs gribstore)
said=$(LD_LIBRARY_PATH=$(dirname "$library") "$place/guest")
[ "$said" = "$("$place/usr/bin/gribstore" --version | cut -d' ' -f2) temporary 1" ] || complain "a program with the library says: $said"

exit "$broken"
