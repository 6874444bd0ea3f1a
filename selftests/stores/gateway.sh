# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# gateway.sh - a store to test with: Ceph's S3 gateway, radosgw, on 127.0.0.1
#
# To be sourced. gateway_start starts a monitor, an OSD with its data in memory, and
# the gateway, in the directory $gateway; gateway_stop ends them. Each instance has
# ports of its own.

# shellcheck disable=SC2034 # used by others
gateway=''	# the directory
gateway_port=''
gateway_access=AKVDI gateway_secret=SKVDI

gateway_missing() { # prints the missing programs
	local p
	for p in ceph-mon ceph-osd radosgw radosgw-admin ceph ceph-authtool monmaptool python3; do
		command -v "$p" > /dev/null || echo "$p"
	done
}

# free_ports N: N ports that nothing uses now
free_ports() {
	python3 -c '
import socket, sys
s = [socket.socket() for _ in range(int(sys.argv[1]))]
for x in s:
    x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])' "$1"
}

gateway_config() { # MON_V2 MON_V1
	cat <<-END
	[global]
	fsid = $(cat /proc/sys/kernel/random/uuid)
	mon host = [v2:127.0.0.1:$1,v1:127.0.0.1:$2]
	public network = 127.0.0.0/8
	cluster network = 127.0.0.0/8
	osd pool default size = 1
	osd pool default min size = 1
	mon allow pool size one = true
	osd crush chooseleaf type = 0
	osd pool default pg num = 8
	osd pool default pgp num = 8
	osd pool default pg autoscale mode = off
	mon data avail crit = 1
	run dir = $gateway/run
	admin socket = $gateway/run/\$name.asok
	log file = $gateway/log/\$name.log
	keyring = $gateway/keyring
	osd class dir = /usr/lib/$(uname -m)-linux-gnu/rados-classes
	osd objectstore = memstore
	memstore device bytes = 1073741824
	osd memory target = 939524096
	mgr initial modules =
	rgw dns name = localhost
	[mon.a]
	mon data = $gateway/mon
	[osd.0]
	osd data = $gateway/osd
	END
}

gateway_keys() {
	local k="$gateway/keyring"
	ceph-authtool "$k" --create-keyring --gen-key -n mon. --cap mon 'allow *' &&
		ceph-authtool "$k" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' \
			--cap mgr 'allow *' &&
		ceph-authtool "$k" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' &&
		ceph-authtool "$k" --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx'
}

# gateway_daemon NAME COMMAND...: not a job of this shell
gateway_daemon() {
	local name=$1
	shift
	( "$@" >> "$gateway/log/$name.out" 2>&1 &
		echo $! > "$gateway/$name.pid" )
}

# gateway_wait NAME COMMAND...: until COMMAND succeeds; fails if the daemon ends
gateway_wait() {
	local pid
	pid=$(cat "$gateway/$1.pid")
	shift
	until "$@" > /dev/null 2>&1; do
		kill -0 "$pid" 2> /dev/null || return
		sleep 0.1
	done
}

gateway_mon() { # the monitor
	local fsid
	fsid=$(sed -n 's/^fsid = //p' "$CEPH_CONF")
	# the port is read from the map
	monmaptool --create --fsid "$fsid" --addv a "$(sed -n 's/^mon host = //p' "$CEPH_CONF")" \
		"$gateway/monmap" &&
		ceph-mon --mkfs -i a --monmap "$gateway/monmap" --keyring "$gateway/keyring" || return
	gateway_daemon mon ceph-mon -i a -f
	gateway_wait mon ceph --connect-timeout 5 -s
}

gateway_osd() {
	local uuid
	uuid=$(cat /proc/sys/kernel/random/uuid)
	ceph osd new "$uuid" && ceph-osd -i 0 --mkfs --osd-uuid "$uuid" || return
	gateway_daemon osd ceph-osd -i 0 -f
	# shellcheck disable=SC2016 # of the inner shell
	gateway_wait osd bash -c 'ceph osd stat | grep -q "1 up"'
}

gateway_answers() {
	python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])))' \
		"$gateway_port"
}

# also after gateway_kill
gateway_radosgw() {
	gateway_daemon rgw radosgw -n client.rgw -f --rgw-thread-pool-size 32 \
		--rgw-frontends "beast endpoint=127.0.0.1:$gateway_port"
	gateway_wait rgw gateway_answers
}

gateway_kill() {
	kill -9 "$(cat "$gateway/rgw.pid")"
	while gateway_answers 2> /dev/null; do sleep 0.1; done
}

# gateway_user NAME ACCESS SECRET
gateway_user() {
	radosgw-admin user create --uid="$1" --display-name="$1" --access-key="$2" --secret-key="$3"
}

gateway_start() {
	local ports
	gateway=$(mktemp -d "${TMPDIR:-/tmp}/gateway.XXXXXX")
	mkdir "$gateway"/{mon,osd,run,log}
	export CEPH_CONF=$gateway/ceph.conf
	read -r -a ports <<< "$(free_ports 3)"
	gateway_port=${ports[2]}
	gateway_config "${ports[0]}" "${ports[1]}" > "$CEPH_CONF"
	{ gateway_keys && gateway_mon && gateway_osd && gateway_radosgw &&
		gateway_user vdi $gateway_access $gateway_secret &&
		gateway_user other AKOTHER SKOTHER; } > "$gateway/log/start" 2>&1 && return
	tail -n 20 "$gateway"/log/{start,*.out} | sed 's/^/# /'
	return 1
}

gateway_stop() {
	local f
	for f in "$gateway"/{rgw,osd,mon}.pid; do
		[ ! -e "$f" ] || kill -9 "$(cat "$f")" 2> /dev/null
	done
	[ -z "$gateway" ] || rm -rf "$gateway"
}

# gateway_environment ACCESS SECRET [PORT]: how a client finds it
gateway_environment() {
	export AWS_ACCESS_KEY_ID=$1 AWS_SECRET_ACCESS_KEY=$2 AWS_EC2_METADATA_DISABLED=true
	export AWS_ENDPOINT_URL_S3=http://127.0.0.1:${3:-$gateway_port}
	export AWS_REGION=us-east-1 HOME=$gateway
	unset AWS_PROFILE AWS_SESSION_TOKEN AWS_WEB_IDENTITY_TOKEN_FILE AWS_ROLE_ARN AWS_CA_BUNDLE
	unset http_proxy HTTP_PROXY
}

# s3_request METHOD PATH [FILE]: one request by curl, which must succeed
s3_request() {
	local body=()
	[ $# -lt 3 ] || body=(--upload-file "$3")
	curl --silent --show-error --fail --request "$1" "${body[@]}" --aws-sigv4 aws:amz:us-east-1:s3 \
		--user "$gateway_access:$gateway_secret" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
		"http://127.0.0.1:$gateway_port/$2"
}
