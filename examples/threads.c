// SPDX-License-Identifier: MIT
/*
 * threads: store a database backup in files, one thread and file per device
 *
 * usage: threads backup|restore NAME FILE [DEVICES]
 *
 * creates the set NAME and waits for the database, as in
 *
 *	threads backup nightly /backup/tonight 3 &
 *	tar c /srv | vdi serve backup nightly
 *
 * The first device is written to FILE, the others to FILE.1, FILE.2 and so on;
 * a restore needs the same number of devices. FILE exists only when the backup
 * is whole: see files.h. Exit status 0 is a whole backup or restore, 1 a
 * failure, 2 wrong usage.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "files.h"

#define WAIT_FOR_DATABASE	300000	/* milliseconds */
#define SERVER_TIMEOUT		600000	/* of the database for a command */

static struct vdi_client *client;
static struct vdi_client_device *device[VDI_MAX_DEVICES];
static struct file file[VDI_MAX_DEVICES];
static unsigned int devices = 1;
static bool restore;
static bool published;		/* the files have their names */
static atomic_bool promised;	/* ... and the database was told */

/* Abort the set because of a failed call. The others get VD_E_ABORT then. */
static void give_up(const char *what)
{
	char text[VDI_MESSAGE_SIZE];

	vdi_client_message(client, text, sizeof(text));
	warnx("%s: %s", what, text);
	vdi_client_signal_abort(client, 0, text);
}

/* Give the files their names, if the backup of each device is whole. */
static bool publish(void)
{
	char text[VDI_MESSAGE_SIZE];
	unsigned int i;

	for (i = 0; i < devices; i++) {
		if (!vdi_client_device_outcome(device[i]))
			continue;
		vdi_client_message(client, text, sizeof(text));
		warnx("the backup is not whole: %s", text);
		return false;
	}
	return !files_publish(file, devices);
}

/*
 * The database has sent everything and asks whether the backup is safe: it may
 * discard its log because of the answer. It asks on one device or on each, at
 * the same time, and gets the same answer everywhere.
 */
static int complete_backup(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool asked;

	pthread_mutex_lock(&lock);
	if (!asked)
		published = publish();
	asked = true;
	pthread_mutex_unlock(&lock);
	return published ? ERROR_SUCCESS : ERROR_IO_DEVICE;
}

/* Execute a command; return its completion code. */
static int execute(unsigned int i, struct VDC_Command *cmd, uint32_t *bytes)
{
	switch (cmd->commandCode) {
	case VDC_ClearError:
		return ERROR_SUCCESS;
	case VDC_Read:
		if (restore)
			return file_read(&file[i], cmd->buffer, cmd->size,
					 bytes);
		break;
	case VDC_Write:
		if (!restore)
			return file_write(&file[i], cmd->buffer, cmd->size,
					  bytes);
		break;
	case VDC_Flush:
		if (!restore)
			return file_sync(&file[i]);
		break;
	case VDC_Complete:
		if (!restore)
			return complete_backup();
		break;
	}
	return ERROR_NOT_SUPPORTED;
}

/* The thread of device i: execute its commands until the database closes it. */
static void *serve(void *arg)
{
	unsigned int i = (struct vdi_client_device **)arg - device;
	struct VDC_Command *cmd;
	int rc, code, command;
	uint32_t bytes;

	while (!(rc = vdi_client_get_command(device[i], -1, &cmd))) {
		command = cmd->commandCode;
		bytes = 0;
		code = execute(i, cmd, &bytes);
		/* from here on cmd and its buffer are the library's again */
		rc = vdi_client_complete_command(device[i], cmd, code, bytes, 0);
		if (rc)
			break;
		if (command == VDC_Complete && code == ERROR_SUCCESS)
			promised = true;
	}
	if (rc != VD_E_CLOSE && rc != VD_E_ABORT)
		give_up(vdi_client_device_name(device[i]));
	return NULL;
}

/* Create the set, wait for the database, and open the devices. */
static int connect_database(const char *name)
{
	struct VDConfig config = {
		.deviceCount = devices,
		.features = restore ? VDF_LikePipe : VDF_RequestComplete,
		.serverTimeOut = SERVER_TIMEOUT,
	};
	unsigned int i;

	if (vdi_client_create(client, NULL, name, &config, NULL)) {
		give_up("cannot create the set");
		return -1;
	}
	if (vdi_client_get_configuration(client, WAIT_FOR_DATABASE, &config)) {
		give_up("no database");
		return -1;
	}
	if (!(config.features & VDF_WriteMedia) != restore) {
		warnx("the database does a %s", restore ? "backup" : "restore");
		vdi_client_signal_abort(client, 0, "wrong direction");
		return -1;
	}
	for (i = 0; i < devices; i++) {
		if (vdi_client_open_device(client, NULL, &device[i])) {
			give_up("cannot open a device");
			return -1;
		}
	}
	return 0;
}

/* Serve all devices; return 0 if that was a whole backup or restore. */
static int transfer(void)
{
	pthread_t thread[VDI_MAX_DEVICES];
	char text[VDI_MESSAGE_SIZE];
	unsigned int i, n;

	for (n = 0; n < devices; n++) {
		errno = pthread_create(&thread[n], NULL, serve, &device[n]);
		if (errno) {
			warn("cannot start a thread");
			vdi_client_signal_abort(client, 0, "no thread");
			break;
		}
	}
	for (i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	if (!vdi_client_outcome(client))
		return 0;
	vdi_client_message(client, text, sizeof(text));
	warnx("%s failed: %s", restore ? "restore" : "backup", text);
	return -1;
}

int main(int argc, char **argv)
{
	int failed;

	if (argc > 4)
		devices = atoi(argv[4]);
	if (argc < 4 || argc > 5 || devices < 1 || devices > VDI_MAX_DEVICES ||
	    (strcmp(argv[1], "backup") && strcmp(argv[1], "restore"))) {
		fprintf(stderr,
			"usage: threads backup|restore NAME FILE [DEVICES]\n");
		return 2;
	}
	restore = !strcmp(argv[1], "restore");
	if (vdi_client_new(&client))
		errx(1, "out of memory");
	if (files_open(file, devices, argv[3], restore))
		return 1;

	failed = connect_database(argv[2]) || transfer();
	if (!failed && !restore && !published)
		failed = files_publish(file, devices);
	failed |= files_close(file, devices);
	if (failed && promised)
		warnx("%s stays: the database was told that it is whole",
		      argv[3]);
	else if (failed && !restore)
		files_remove(file, devices);
	vdi_client_free(client);
	return failed ? 1 : 0;
}
