# SPDX-License-Identifier: ISC
# The loader by itself: a row for every attach type; vm/table judges them.
. /test/lib.sh

cd /test && ./loader_table "$prefix/libexec/aegisflux/bpfd" /test/kinds.o
echo "FACT loader_table $?"
