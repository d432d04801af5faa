#!/bin/sh
# A worker in sh and curl: jobs of one kind, one at a time. Each job's JSON goes to the standard input of a command: what
# that writes (JSON, or nothing) is the job's result, and its exit status says whether it succeeded.
#
#   JOBLEDGER_URL=http://127.0.0.1:8470 JOBLEDGER_KEY=jl_… sh worker.sh KIND COMMAND [ARGUMENT …]
#
# WAIT_S (20): seconds that a claim waits; UNTIL_EMPTY=1: end when there is no job; BEAT_S (10): between two heartbeats.
set -eu

kind=$1
shift
url=${JOBLEDGER_URL:-http://127.0.0.1:8470}/v1
room=$(mktemp -d)
printf 'Authorization: Bearer %s\nContent-Type: application/json\n' "${JOBLEDGER_KEY:-}" >"$room/headers"

# Everything here may be sent again: a claim has its number, a report its claim. So a lost answer costs nothing.
post() {
  curl --silent --show-error --fail --max-time 90 --retry 8 --retry-all-errors --header "@$room/headers" \
    --data-binary "$2" "$url/$1"
}

# What is between two texts of a line: the service writes compact JSON, names without quotes, and `data` after the rest.
between() {
  rest=${1#*"$2"}
  printf '%s' "${rest%%"$3"*}"
}

beat() {
  while sleep "${BEAT_S:-10}"; do
    told=$(post "workers/$worker/heartbeat" "{\"held\":[$(cat "$room/held")]}") || continue
    case $told in
      *'"cancel":["'* | *'"killed":["'* | *'"lost":["'*)
        : >"$room/ended"
        kill "$(cat "$room/pid")" || true
        ;;
    esac
  done
}

: >"$room/held"
worker=$(between "$(post workers "{\"kinds\":[\"$kind\"]}")" '"worker":"' '"')
beat &
beating=$!
trap 'kill $beating; post "workers/$worker/stop" "{}"; rm -r "$room"' EXIT
trap 'exit 0' INT TERM

number=0
while :; do
  number=$((number + 1))
  answer=$(post "workers/$worker/claim" "{\"call\":$number,\"wait_s\":${WAIT_S:-20}}")
  if [ "$answer" = '{"jobs":[]}' ]; then
    [ -z "${UNTIL_EMPTY:-}" ] || exit 0
    continue
  fi
  known=${answer%%'"data":'*}
  id=$(between "$known" '"id":"' '"')
  claim=$(between "$known" '"claim":' ',')

  printf '"%s"' "$id" >"$room/held"
  rm -f "$room/ended"
  job=${answer#'{"jobs":['}
  printf '%s' "${job%']}'}" >"$room/job"
  "$@" <"$room/job" >"$room/result" 2>"$room/error" &
  echo $! >"$room/pid"
  outcome=succeeded data='{}'
  if wait $!; then
    [ ! -s "$room/result" ] || data="{\"result\":$(cat "$room/result")}"
  elif [ -e "$room/ended" ]; then
    outcome=cancelled
  else
    message=$(tail -c 500 "$room/error" | tr '\n\t' '  ' | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')
    outcome=failed data="{\"error\":{\"type\":\"CommandFailed\",\"message\":\"$message\",\"class\":\"transient\"}}"
  fi
  post "workers/$worker/report" \
    "{\"reports\":[{\"id\":\"$id\",\"claim\":$claim,\"outcome\":\"$outcome\",\"data\":$data}]}" >/dev/null
  : >"$room/held"
done
