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

static void peer_text(const struct vdi_peer *peer, char *buf, size_t size)
{
	char comm[4 * VDI_COMM_SIZE + 1];

	if (!peer->role) {
		snprintf(buf, size, "-");
		return;
	}
	vdi_name_escape(peer->comm, strnlen(peer->comm, sizeof(peer->comm)),
			comm, sizeof(comm));
	snprintf(buf, size, "%u/%s", peer->pid, comm);
}

static void print_device(FILE *out, unsigned int index,
			 const struct vdi_device_status *device)
{
	char name[4 * VDI_NAME_SIZE], client[128], bytes[32];
	char database[32], appliance[32];

	vdi_name_escape(device->name, device->name_len, name, sizeof(name));
	peer_text(&device->client, client, sizeof(client));
	vdi_format_bytes(device->bytes, bytes, sizeof(bytes));
	vdi_format_duration(device->server_waited_ns / 1e9, database,
			    sizeof(database));
	vdi_format_duration(device->client_waited_ns / 1e9, appliance,
			    sizeof(appliance));
	fprintf(out, "    device %-2u %-24s client %-20s %10s %llu of %llu commands done; waited: database %s, appliance %s\n",
		index, device->name_len ? name : "-", client, bytes,
		(unsigned long long)device->completions,
		(unsigned long long)device->commands, database, appliance);
}

static void free_row(struct row *row)
{
	int i;

	for (i = 0; i < COLUMNS; i++)
		free(row->cell[i]);
	free(row->devices);
	free(row);
}

static char *device_lines(const struct observed_set *set)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	unsigned int i;

	if (!out)
		return NULL;
	for (i = 0; i < set->status.config.deviceCount; i++)
		print_device(out, i, &set->device[i]);
	return fclose(out) ? NULL : text;
}

/* False when there is no memory. */
static bool add_set(struct table *table, const struct observed_set *set,
		    bool verbose)
{
	const struct vdi_set_status *status = &set->status;
	char name[4 * VDI_NAME_SIZE], owner[64], creator[64], devices[24];
	char primary[128], server[128], bytes[32], age[32];
	const char *cells[COLUMNS] = {
		[COLUMN_NAME] = status->name_len ? name : "-",
		[COLUMN_STATE] = vdi_state_name(status->state),
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

	vdi_name_escape(status->name, status->name_len, name, sizeof(name));
	vdi_user_text(status->uid, owner, sizeof(owner));
	vdi_user_text(status->creator, creator, sizeof(creator));
	peer_text(&status->primary, primary, sizeof(primary));
	peer_text(&status->server, server, sizeof(server));
	vdi_format_bytes(observe_bytes(set), bytes, sizeof(bytes));
	vdi_format_duration(status->age_ns / 1e9, age, sizeof(age));
	snprintf(devices, sizeof(devices), "%u/%u", status->client_devices,
		 status->config.deviceCount);
	for (i = 0; ok && i < COLUMNS; i++)
		ok = (row->cell[i] = strdup(cells[i]));
	if (ok && verbose)
		ok = (row->devices = device_lines(set));
	if (!ok) {
		if (row)
			free_row(row);
		return false;
	}
	table->creators |= status->uid != status->creator;
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
	char text[4 * VDI_NAME_SIZE];

	vdi_name_escape(name, length, text, sizeof(text));
	return json_object_new_string(text);
}

static struct json_object *json_peer(const struct vdi_peer *peer)
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

static struct json_object *
json_device(const struct vdi_device_status *device)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name",
			device->name_len ?
			json_name(device->name, device->name_len) : NULL);
	json_object_object_add(object, "client", json_peer(&device->client));
	json_object_object_add(object, "bytes",
			       json_object_new_uint64(device->bytes));
	json_object_object_add(object, "commands",
			       json_object_new_uint64(device->commands));
	json_object_object_add(object, "completions",
			       json_object_new_uint64(device->completions));
	json_object_object_add(object, "database_waited_seconds",
		json_object_new_double(device->server_waited_ns / 1e9));
	json_object_object_add(object, "appliance_waited_seconds",
		json_object_new_double(device->client_waited_ns / 1e9));
	return object;
}

static struct json_object *json_abort(const struct vdi_abort_info *record)
{
	struct vdi_peer by = {
		.role = record->role,
		.pid = record->pid,
		.uid = record->uid,
	};
	struct json_object *object;

	if (!record->reason)
		return NULL;
	memcpy(by.comm, record->comm, sizeof(by.comm));
	object = json_object_new_object();
	json_object_object_add(object, "reason",
		json_object_new_string(vdi_reason_name(record->reason)));
	json_object_object_add(object, "code",
			       json_object_new_int64(record->code));
	json_object_object_add(object, "by", json_peer(&by));
	json_object_object_add(object, "text",
			json_name(record->text, strnlen(record->text,
							sizeof(record->text))));
	return object;
}

static struct json_object *json_set(const struct observed_set *set)
{
	const struct vdi_set_status *status = &set->status;
	struct json_object *object = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	unsigned int i;

	json_object_object_add(object, "id",
			       json_object_new_uint64(status->id));
	json_object_object_add(object, "name",
			status->name_len ?
			json_name(status->name, status->name_len) :
			NULL);
	json_object_object_add(object, "state",
		json_object_new_string(vdi_state_name(status->state)));
	json_object_object_add(object, "uid",
			       json_object_new_int64(status->uid));
	json_object_object_add(object, "creator",
			       json_object_new_int64(status->creator));
	json_object_object_add(object, "gid",
			       json_object_new_int64(status->gid));
	json_object_object_add(object, "mode",
			       json_object_new_int64(status->mode));
	json_object_object_add(object, "age_seconds",
			json_object_new_double(status->age_ns / 1e9));
	json_object_object_add(object, "primary",
			       json_peer(&status->primary));
	json_object_object_add(object, "server",
			       json_peer(&status->server));
	json_object_object_add(object, "secondaries",
			json_object_new_int64(status->secondaries));
	json_object_object_add(object, "rate_limit",
		status->rate ? json_object_new_uint64(status->rate) : NULL);
	json_object_object_add(object, "area_bytes",
		json_object_new_uint64(status->area_bytes));
	json_object_object_add(object, "bytes",
			json_object_new_uint64(observe_bytes(set)));
	for (i = 0; i < status->config.deviceCount; i++)
		json_object_array_add(devices, json_device(&set->device[i]));
	json_object_object_add(object, "devices", devices);
	json_object_object_add(object, "abort",
			       json_abort(&status->abort));
	return object;
}

/* Sets come and go meanwhile: what has gone is left out. */
static int list_sets(bool verbose, struct json_object *json)
{
	struct table table = { .last = &table.first };
	struct vdi_set_entry entry = { .id = 0 };
	struct vdi_observer *observer;
	struct observed_set set;
	int exit_code = EXIT_OK;

	observer = observe_open(&exit_code);
	if (!observer)
		return exit_code;
	while (exit_code == EXIT_OK && !vdi_observer_next(observer, &entry)) {
		if (!observe_set(observer, entry.id, &set))
			continue;
		if (json) {
			json_object_array_add(json, json_set(&set));
		} else if (!add_set(&table, &set, verbose)) {
			vdi_error("out of memory");
			exit_code = EXIT_FAILED;
		}
	}
	vdi_observer_free(observer);
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
