#!/usr/bin/env bash
# check_links: what each binary and library is allowed to need (the link rule), and what the client library shows.
#
#   tests/check_links.sh BUILD_DIR
#
# A binary is asked for the libraries it names (NEEDED), an archive for the symbols it leaves open. What libraries need in
# turn is theirs. Something that is not there fails: an empty build obeys every rule.
set -euo pipefail
build=${1:?usage: check_links.sh BUILD_DIR}
broken=0

complain() {
    printf 'link rule: %s\n' "$*"
    broken=1
}

# binary_never NAME LIBRARY...: the binary names none of these libraries.
binary_never() {
    local path=$build/bin/$1 needed library
    shift
    [ -x "$path" ] || { complain "$path is not there"; return 0; }
    needed=$(readelf -d "$path" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    for library; do
        ! grep -q "^$library" <<<"$needed" || complain "$path needs $library"
    done
}

# archive_never PATH PREFIX...: no object in the archive leaves a symbol open that begins with one of these.
archive_never() {
    local path=$build/$1 open prefix
    shift
    [ -f "$path" ] || { complain "$path is not there"; return 0; }
    # An archive that nm can't read leaves nothing open either: it has to define something.
    grep -q ' T ' <<<"$(nm --defined-only "$path" 2>/dev/null)" || complain "$path defines nothing"
    open=$(nm -u "$path" 2>/dev/null | awk '$1 == "U" { print $2 }' | sort -u)
    for prefix; do
        ! grep "^$prefix" <<<"$open" || complain "$path uses the above"
    done
}

binary_never storaged libeccodes libmongoc libbson libsqlite3
binary_never indexer libeccodes
binary_never gribstore-decoder libmongoc libbson libsqlite3 libuv libcurl
binary_never gribstore libuv libmongoc libbson libeccodes libsqlite3

archive_never proto/libproto.a uv_ curl_ codes_ mongoc_ bson_ sqlite3_ SSL_ llhttp_
archive_never proto/libproto_http.a curl_ codes_ mongoc_ bson_ sqlite3_
archive_never proto/libproto_transfer.a uv_ codes_ mongoc_ bson_ sqlite3_ llhttp_
archive_never storaged/libstoraged_core.a curl_ codes_ mongoc_ bson_ sqlite3_
archive_never indexer/libindexer_core.a curl_ codes_
archive_never client/libgribstore.a uv_ curl_ codes_ mongoc_ bson_ sqlite3_ llhttp_

# archive_exports PATH PREFIX: what others can link against begins with this; the rest is hidden.
archive_exports() {
    local shown
    shown=$(readelf -sW "$build/$1" 2>/dev/null | awk '$5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" { print $8 }' | sort -u)
    grep -q "^$2" <<<"$shown" || complain "$build/$1 exports nothing that begins with $2"
    ! grep -v "^$2" <<<"$shown" || complain "$build/$1 exports the above"
}

archive_exports client/libgribstore.a gs_

# The public header stands alone, in C and, where there is a compiler, in C++.
header=$(dirname "${BASH_SOURCE[0]}")/../client/gribstore.h
for dialect in c:c11 c:c99 c++:c++11 c++:c++20; do
    compiler=${dialect%%:*}
    [ "$compiler" = c ] && compiler=cc
    command -v "$compiler" >/dev/null || continue
    "$compiler" -x "${dialect%%:*}" -std="${dialect#*:}" -Wall -Wextra -Wpedantic -Werror -fsyntax-only - <<<"#include \"$(realpath "$header")\"" ||
        complain "client/gribstore.h is not good ${dialect#*:}"
done

exit "$broken"
