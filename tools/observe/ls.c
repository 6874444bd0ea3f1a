// SPDX-License-Identifier: GPL-2.0-only
/*
 * ls.c - vdi ls: the sets that are in use
 */
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe.h"
#include "vdi.h"

enum column {
	COLUMN_NAME, COLUMN_STATE, COLUMN_OWNER, COLUMN_CREATOR, COLUMN_DEVICES,
	COLUMN_CLIENT, COLUMN_DATABASE, COLUMN_BYTES, COLUMN_AGE, COLUMNS
};

/* A line of the table, and the lines about its devices. */
struct row {
	struct row *next;
	char *cell[COLUMNS];
	char *devices;
};

/* The lines are printed when all are known: columns are as wide as needed. */
struct table {
	struct row *first, **last;
	bool creators;		/* some set's is not its owner */
};

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

static void print_device(FILE *out, int fd, unsigned int index)
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
	fprintf(out, "    device %-2u %-24s client %-20s %10s %llu of %llu commands done; waited: database %s, appliance %s\n",
	       index, device.out_name_len ? name : "-", client, bytes,
	       (unsigned long long)device.out_completions,
	       (unsigned long long)device.out_commands, database, appliance);
}

static void free_row(struct row *row)
{
	int i;

	for (i = 0; i < COLUMNS; i++)
		free(row->cell[i]);
	free(row->devices);
	free(row);
}

static char *device_lines(int fd, const struct vdiset_status *status)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	unsigned int i;

	if (!out)
		return NULL;
	for (i = 0; i < status->out_config.device_count; i++)
		print_device(out, fd, i);
	return fclose(out) ? NULL : text;
}

/* False when there is no memory. */
static bool add_set(struct table *table, int fd,
		    const struct vdiset_status *status, bool verbose)
{
	char name[4 * VDISET_NAME_MAX + 1], owner[64], creator[64], devices[24];
	char primary[128], server[128], bytes[32], age[32];
	const char *cells[COLUMNS] = {
		[COLUMN_NAME] = status->out_name_len ? name : "-",
		[COLUMN_STATE] = observe_state_name(status->out_state),
		[COLUMN_OWNER] = owner,
		[COLUMN_CREATOR] = creator,
		[COLUMN_DEVICES] = devices,
		[COLUMN_CLIENT] = primary,
		[COLUMN_DATABASE] = server,
		[COLUMN_BYTES] = bytes,
		[COLUMN_AGE] = age,
	};
	struct row *row = calloc(1, sizeof(*row));
	bool ok = row;
	int i;

	observe_escape(status->out_name, status->out_name_len, name,
		       sizeof(name));
	vdi_user_text(status->out_uid, owner, sizeof(owner));
	vdi_user_text(status->out_creator, creator, sizeof(creator));
	peer_text(&status->out_primary, primary, sizeof(primary));
	peer_text(&status->out_server, server, sizeof(server));
	vdi_format_bytes(set_bytes(fd, status), bytes, sizeof(bytes));
	vdi_format_duration(status->out_age_ns / 1e9, age, sizeof(age));
	snprintf(devices, sizeof(devices), "%u/%u", status->out_client_devices,
		 status->out_config.device_count);
	for (i = 0; ok && i < COLUMNS; i++)
		ok = (row->cell[i] = strdup(cells[i]));
	if (ok && verbose)
		ok = (row->devices = device_lines(fd, status));
	if (!ok) {
		if (row)
			free_row(row);
		return false;
	}
	table->creators |= status->out_uid != status->out_creator;
	*table->last = row;
	table->last = &row->next;
	return true;
}

static void print_row(const struct table *table, char *const *cell,
		      const int *width)
{
	int i;

	for (i = 0; i < COLUMNS; i++) {
		if (i == COLUMN_CREATOR && !table->creators)
			continue;
		printf("%s%*s", i ? "  " : "",
		       i < COLUMN_BYTES ? -width[i] : width[i], cell[i]);
	}
	putchar('\n');
}

static void print_table(struct table *table)
{
	static char *const head[COLUMNS] = {
		"NAME", "STATE", "OWNER", "CREATOR", "DEVICES", "CLIENT",
		"DATABASE", "BYTES", "AGE"
	};
	int i, width[COLUMNS];
	struct row *row;

	for (i = 0; i < COLUMNS; i++) {
		width[i] = strlen(head[i]);
		for (row = table->first; row; row = row->next) {
			if ((int)strlen(row->cell[i]) > width[i])
				width[i] = strlen(row->cell[i]);
		}
	}
	if (table->first)
		print_row(table, head, width);
	while (table->first) {
		row = table->first;
		table->first = row->next;
		print_row(table, row->cell, width);
		if (row->devices)
			fputs(row->devices, stdout);
		free_row(row);
	}
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
	json_object_object_add(object, "creator",
			       json_object_new_int64(status->out_creator));
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
	struct vdiset_list list = { .cursor = 0 };
	struct table table = { .last = &table.first };
	int exit_code = EXIT_OK;
	int fd;

	fd = observe_open(&exit_code);
	if (fd < 0)
		return exit_code;
	while (exit_code == EXIT_OK && observe_next(fd, &list)) {
		struct vdiset_status status;
		int set = observe_attach(list.cursor);

		if (set < 0)
			continue;
		if (!observe_status(set, &status)) {
			close(set);
			continue;
		}
		if (json) {
			json_object_array_add(json, json_set(set, &status));
		} else if (!add_set(&table, set, &status, verbose)) {
			vdi_error("out of memory");
			exit_code = EXIT_FAILED;
		}
		close(set);
	}
	close(fd);
	if (!json && !table.first && isatty(STDOUT_FILENO))
		fputs("vdi: no sets are in use\n", stderr);
	print_table(&table);
	return exit_code;
}

static void usage(FILE *out)
{
	fputs("usage: vdi ls [--verbose] [--json]\n\n"
	      "Lists the virtual device sets that you may see: state, owner, the user who created\n"
	      "it where that is another, devices open and in all, the processes at both ends,\n"
	      "bytes transferred, age.\n\n"
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
