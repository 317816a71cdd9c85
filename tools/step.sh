#!/usr/bin/env bash
# step.sh NAME COMMAND...: say what begins, run it, say how it ended and what it took.
set -uo pipefail
name=$1
shift
printf '\n== %s\n' "$name"
started=$SECONDS
"$@"
status=$?
took=$((SECONDS - started))
if [ "$status" -eq 0 ]; then
    printf '== %s: done in %s s\n' "$name" "$took"
else
    printf '== %s: FAILED (exit status %s) after %s s\n' "$name" "$status" "$took" >&2
fi
[ -z "${GB_TEST_REPORT:-}" ] || printf '{"step": "%s", "seconds": %s}\n' "$name" "$took" >>"$GB_TEST_REPORT"
exit "$status"
