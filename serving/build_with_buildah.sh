#!/bin/sh
# Build the image and test it without a container engine: only root, buildah and debootstrap are needed.
#   apt-get install -y buildah debootstrap
#   serving/build_with_buildah.sh
# Optional: MIRROR of Debian, PIP_INDEX_URL, and OPTIONS for `buildah build`, such as --volume FILE:/etc/pip.conf:ro
# It starts the image's own entry point as the image's own user, on a root that is mounted read-only.
set -eu
cd "$(dirname "$0")/.."
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
IMAGE=${IMAGE:-localhost/tiltyard}
BASE=localhost/tiltyard-base
WORK=$(mktemp -d)
SERVER=
CONTAINER=

step() { printf '\n== %s\n' "$1"; }

clean() {
    [ -z "$SERVER" ] || { kill "$SERVER" 2>/dev/null || true; wait "$SERVER" 2>/dev/null || true; }
    for place in tmp proc dev ''; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do # workers may outlive the server by a moment
            mountpoint -q "$WORK/tree/$place" 2>/dev/null || break
            umount "$WORK/tree/$place" 2>/dev/null || sleep 0.5
        done
    done
    [ -z "$CONTAINER" ] || buildah rm "$CONTAINER" >/dev/null
    mountpoint -q "$WORK/tree" || rm -rf --one-file-system "$WORK"
}
trap clean EXIT INT TERM

inspect() { buildah inspect --type image --format "$1" "$IMAGE"; }
inside() { chroot --userspec="$OWNER" "$WORK/tree" env -i "$@"; }

if ! buildah inspect --type image "$BASE" >/dev/null 2>&1; then
    step "base: Debian bookworm with Python, by debootstrap"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$WORK/base" ${MIRROR:+"$MIRROR"} >"$WORK/log" \
        || { tail -20 "$WORK/log"; exit 1; }
    rm -rf "$WORK/base/var/cache/apt" "$WORK/base/var/lib/apt/lists" "$WORK/base/etc/apt/sources.list"
    echo "127.0.0.1 localhost" >"$WORK/base/etc/hosts" # a container engine would provide it
    scratch=$(buildah from scratch)
    buildah add --quiet "$scratch" "$WORK/base" / >/dev/null
    buildah commit --quiet --rm "$scratch" "$BASE" >/dev/null
    du -sh "$WORK/base" | sed 's|\t.*| of files|'
fi

step "build: serving/Containerfile"
buildah build --quiet --format docker --build-arg "BASE=$BASE" \
    ${PIP_INDEX_URL:+--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"} \
    ${OPTIONS:-} \
    -f serving/Containerfile -t "$IMAGE" . >"$WORK/log" 2>&1 || { tail -20 "$WORK/log"; exit 1; }
OWNER=$(inspect '{{.OCIv1.Config.User}}')
echo "user $OWNER, ports $(inspect '{{range $p, $_ := .OCIv1.Config.ExposedPorts}}{{$p}} {{end}}')"
echo "healthcheck $(inspect '{{.Docker.Config.Healthcheck.Test}}')"

if python3 -c 'import socket; socket.create_connection(("127.0.0.1", 3000), 1)' 2>/dev/null; then
    echo "something else listens on port 3000"
    exit 1
fi
step "start: read-only root, /tmp in memory, user $OWNER"
CONTAINER=$(buildah from "$IMAGE")
mkdir "$WORK/tree"
mount --bind "$(buildah mount "$CONTAINER")" "$WORK/tree"
mount -o remount,bind,ro "$WORK/tree"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$WORK/tree/tmp"
mount -t proc proc "$WORK/tree/proc"
mount --bind /dev "$WORK/tree/dev"
inspect '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' | grep . >"$WORK/env"
inspect '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' | grep . >"$WORK/command"
started=$(date +%s%N)
# shellcheck disable=SC2046  # neither the environment nor the command of the image has spaces
chroot --userspec="$OWNER" "$WORK/tree" env -i $(cat "$WORK/env") sh -c 'cd /app; exec "$@"' sh $(cat "$WORK/command") \
    >"$WORK/server.log" 2>&1 &
SERVER=$!

# the image's own HEALTHCHECK
buildah inspect --type image "$IMAGE" | python3 -c '
import json, sys
print("\0".join(json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"][1:]), end="")' >"$WORK/health"
health() { xargs -0 -a "$WORK/health" chroot --userspec="$OWNER" "$WORK/tree" env -i >/dev/null 2>&1; }
tries=0
until health; do
    tries=$((tries + 1))
    [ "$tries" -lt 120 ] && kill -0 "$SERVER" || { echo "not healthy:"; tail -20 "$WORK/server.log"; exit 1; }
    sleep 0.5
done
echo "healthy after $((($(date +%s%N) - started) / 1000000)) ms"

step "exercise"
if inside sh -c 'echo x >/app/x' 2>/dev/null; then echo "the root can be written to"; exit 1; fi
echo "the root cannot be written to"
python3 serving/replay.py http://127.0.0.1:3000 serving

step "stop"
kill "$SERVER"
wait "$SERVER" || true
SERVER=
buildah images --format '{{.Name}} {{.Size}}' | grep tiltyard
