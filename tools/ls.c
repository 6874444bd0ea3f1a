// SPDX-License-Identifier: GPL-2.0-only
/*
 * ls.c - vdi ls: the sets that are in use
 */
#include <getopt.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "observe.h"

static void owner_name(uint32_t uid, char *buf, size_t size)
{
	struct passwd *pw = getpwuid(uid);

	if (pw)
		snprintf(buf, size, "%s", pw->pw_name);
	else
		snprintf(buf, size, "%u", uid);
}

static void peer_text(const struct vdiset_peer *peer, char *buf, size_t size)
{
	char comm[4 * VDISET_COMM_SIZE + 1];

	if (!peer->role) {
		snprintf(buf, size, "-");
		return;
	}
	observe_escape(peer->comm, strnlen(peer->comm, sizeof(peer->comm)),
		       comm, sizeof(comm));
	snprintf(buf, size, "%u/%s", peer->pid, comm);
}

static uint64_t set_bytes(int fd, const struct vdiset_status *status)
{
	struct vdiset_device_status device;
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < status->out_config.device_count; i++) {
		if (observe_device(fd, i, &device))
			bytes += device.out_bytes;
	}
	return bytes;
}

static void print_device(int fd, unsigned int index)
{
	struct vdiset_device_status device;
	char name[4 * VDISET_NAME_MAX + 1], client[128], bytes[32];
	char database[32], appliance[32];

	if (!observe_device(fd, index, &device))
		return;
	observe_escape(device.out_name, device.out_name_len, name,
		       sizeof(name));
	peer_text(&device.out_client, client, sizeof(client));
	vdi_format_bytes(device.out_bytes, bytes, sizeof(bytes));
	vdi_format_duration(device.out_server_waited_ns / 1e9, database,
			    sizeof(database));
	vdi_format_duration(device.out_client_waited_ns / 1e9, appliance,
			    sizeof(appliance));
	printf("    device %-2u %-24s client %-20s %10s %llu of %llu commands done; waited: database %s, appliance %s\n",
	       index, device.out_name_len ? name : "-", client, bytes,
	       (unsigned long long)device.out_completions,
	       (unsigned long long)device.out_commands, database, appliance);
}

static void print_set(int fd, const struct vdiset_status *status, bool verbose)
{
	char name[4 * VDISET_NAME_MAX + 1], owner[64], devices[24];
	char primary[128], server[128], bytes[32], age[32];
	unsigned int i;

	observe_escape(status->out_name, status->out_name_len, name,
		       sizeof(name));
	owner_name(status->out_uid, owner, sizeof(owner));
	peer_text(&status->out_primary, primary, sizeof(primary));
	peer_text(&status->out_server, server, sizeof(server));
	vdi_format_bytes(set_bytes(fd, status), bytes, sizeof(bytes));
	vdi_format_duration(status->out_age_ns / 1e9, age, sizeof(age));
	snprintf(devices, sizeof(devices), "%u/%u", status->out_client_devices,
		 status->out_config.device_count);
	printf("%-20s %-12s %-10s %-7s %-20s %-20s %10s %9s\n",
	       status->out_name_len ? name : "-",
	       observe_state_name(status->out_state), owner, devices, primary,
	       server, bytes, age);
	if (!verbose)
		return;
	for (i = 0; i < status->out_config.device_count; i++)
		print_device(fd, i);
}

static struct json_object *json_name(const char *name, size_t length)
{
	char text[4 * VDISET_NAME_MAX + 1];

	observe_escape(name, length, text, sizeof(text));
	return json_object_new_string(text);
}

static struct json_object *json_peer(const struct vdiset_peer *peer)
{
	struct json_object *object;

	if (!peer->role)
		return NULL;
	object = json_object_new_object();
	json_object_object_add(object, "pid", json_object_new_int64(peer->pid));
	json_object_object_add(object, "uid", json_object_new_int64(peer->uid));
	json_object_object_add(object, "command",
			json_name(peer->comm, strnlen(peer->comm,
						      sizeof(peer->comm))));
	return object;
}

static struct json_object *json_device(int fd, unsigned int index)
{
	struct json_object *object = json_object_new_object();
	struct vdiset_device_status device;

	if (!observe_device(fd, index, &device))
		return object;
	json_object_object_add(object, "name",
			device.out_name_len ?
			json_name(device.out_name, device.out_name_len) : NULL);
	json_object_object_add(object, "client", json_peer(&device.out_client));
	json_object_object_add(object, "bytes",
			       json_object_new_uint64(device.out_bytes));
	json_object_object_add(object, "commands",
			       json_object_new_uint64(device.out_commands));
	json_object_object_add(object, "completions",
			       json_object_new_uint64(device.out_completions));
	json_object_object_add(object, "database_waited_seconds",
		json_object_new_double(device.out_server_waited_ns / 1e9));
	json_object_object_add(object, "appliance_waited_seconds",
		json_object_new_double(device.out_client_waited_ns / 1e9));
	return object;
}

static struct json_object *json_abort(const struct vdiset_abort_record *record)
{
	struct json_object *object;

	if (!record->reason)
		return NULL;
	object = json_object_new_object();
	json_object_object_add(object, "reason",
		json_object_new_string(observe_reason_name(record->reason)));
	json_object_object_add(object, "code",
			       json_object_new_int64(record->code));
	json_object_object_add(object, "by", json_peer(&record->by));
	json_object_object_add(object, "text",
			json_name(record->text, strnlen(record->text,
							sizeof(record->text))));
	return object;
}

static struct json_object *json_set(int fd, const struct vdiset_status *status)
{
	struct json_object *object = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	unsigned int i;

	json_object_object_add(object, "id",
			       json_object_new_uint64(status->out_id));
	json_object_object_add(object, "name",
			status->out_name_len ?
			json_name(status->out_name, status->out_name_len) :
			NULL);
	json_object_object_add(object, "state",
		json_object_new_string(observe_state_name(status->out_state)));
	json_object_object_add(object, "uid",
			       json_object_new_int64(status->out_uid));
	json_object_object_add(object, "gid",
			       json_object_new_int64(status->out_gid));
	json_object_object_add(object, "mode",
			       json_object_new_int64(status->out_mode));
	json_object_object_add(object, "age_seconds",
			json_object_new_double(status->out_age_ns / 1e9));
	json_object_object_add(object, "primary",
			       json_peer(&status->out_primary));
	json_object_object_add(object, "server",
			       json_peer(&status->out_server));
	json_object_object_add(object, "secondaries",
			json_object_new_int64(status->out_secondaries));
	json_object_object_add(object, "area_bytes",
		json_object_new_uint64(status->out_config.buffer_area_size));
	json_object_object_add(object, "bytes",
			json_object_new_uint64(set_bytes(fd, status)));
	for (i = 0; i < status->out_config.device_count; i++)
		json_object_array_add(devices, json_device(fd, i));
	json_object_object_add(object, "devices", devices);
	json_object_object_add(object, "abort",
			       json_abort(&status->out_abort));
	return object;
}

/* Sets come and go meanwhile: what has gone is left out. */
static int list_sets(bool verbose, struct json_object *json)
{
	int exit_code = EXIT_OK;
	uint64_t cursor = 0;
	bool header = false;
	int fd;

	fd = observe_open(&exit_code);
	if (fd < 0)
		return exit_code;
	while (observe_next(fd, &cursor)) {
		struct vdiset_status status;
		int set = observe_attach_id(cursor);

		if (set < 0)
			continue;
		if (!observe_status(set, &status)) {
			close(set);
			continue;
		}
		if (!json && !header) {
			printf("%-20s %-12s %-10s %-7s %-20s %-20s %10s %9s\n",
			       "NAME", "STATE", "OWNER", "DEVICES", "CLIENT",
			       "DATABASE", "BYTES", "AGE");
			header = true;
		}
		if (json)
			json_object_array_add(json, json_set(set, &status));
		else
			print_set(set, &status, verbose);
		close(set);
	}
	close(fd);
	if (!json && !header && isatty(STDOUT_FILENO))
		fputs("vdi: no sets are in use\n", stderr);
	return EXIT_OK;
}

static void usage(FILE *out)
{
	fputs("usage: vdi ls [--verbose] [--json]\n\n"
	      "Lists the virtual device sets that you may see: state, owner, devices open and in\n"
	      "all, the processes at both ends, bytes transferred, age.\n\n"
	      "  -v, --verbose  a line for each device too, with how long the database has waited\n"
	      "                 for the appliance (the backup program) and the reverse\n"
	      "  -j, --json     everything, as a JSON array\n"
	      "  -h, --help     this text\n", out);
}

int vdi_ls_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "verbose", no_argument, NULL, 'v' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	struct json_object *json = NULL;
	bool verbose = false;
	int c, rc;

	while ((c = getopt_long(argc, argv, "vjh", options, NULL)) != -1) {
		switch (c) {
		case 'v':
			verbose = true;
			break;
		case 'j':
			if (!json)
				json = json_object_new_array();
			break;
		case 'h':
			usage(stdout);
			return EXIT_OK;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	rc = list_sets(verbose, json);
	if (json && rc == EXIT_OK)
		puts(json_object_to_json_string_ext(json,
				JSON_C_TO_STRING_PRETTY |
				JSON_C_TO_STRING_SPACED |
				JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
	return rc;
}
