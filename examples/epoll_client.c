// SPDX-License-Identifier: MIT
/*
 * epoll_client: store a database backup in files, all devices in one thread
 *
 * usage: epoll_client [-t SECONDS] backup|restore NAME FILE [DEVICES]
 *
 * does what threads.c does, with the same files. One thread waits for all
 * devices, for signals and for a timer: the set is aborted by Ctrl-C, and when
 * no command has come for SECONDS (default 300, 0: never). That includes the
 * time until the database joins. See vdi_event_loop(7).
 *
 * Files are written and read by plain system calls, which hold up the other
 * devices. A program that must not wait for its disk hands the commands to
 * io_uring or other threads, and completes them later, as send.c does.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "files.h"

#define SERVER_TIMEOUT	600000	/* milliseconds, of the database */
#define BATCH		16	/* commands of a device before it is the next */

/* What an event of epoll belongs to; below that it is the index of a device. */
enum { SET = VDI_MAX_DEVICES, TIMER, SIGNAL, SOURCES };

static struct vdi_client *client;
static struct vdi_client_device *device[VDI_MAX_DEVICES];
static bool ready[VDI_MAX_DEVICES];	/* may have commands */
static struct file file[VDI_MAX_DEVICES];
static unsigned int devices = 1, running;
static int loop, timer, signals;
static unsigned int idle_limit = 300;	/* seconds */
static bool waiting = true;	/* for the database to configure the set */
static bool restore;
static bool published;		/* the files have their names */
static bool promised;		/* ... and the database was told */

static int watch(int fd, uint32_t source)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = source };

	return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static void restart_timer(void)
{
	struct itimerspec left = { .it_value.tv_sec = idle_limit };

	/* an expiry that was not read yet is forgotten; 0 stops the timer */
	timerfd_settime(timer, 0, &left, NULL);
}

/* Every call and descriptor of the set reports the abort from now on. */
static void stop(const char *why)
{
	warnx("%s", why);
	vdi_client_signal_abort(client, 0, why);
}

/* The same, because of a failed call. */
static void give_up(void)
{
	char text[VDI_MESSAGE_SIZE];

	vdi_client_message(client, text, sizeof(text));
	stop(text);
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
 * discard its log because of the answer. It asks on one device or on each, and
 * gets the same answer everywhere.
 */
static int complete_backup(void)
{
	static bool asked;

	if (!asked)
		published = publish();
	asked = true;
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

/*
 * Execute commands of device i: a few, for it has no precedence over the other
 * devices. The descriptor may be waited for only after VD_E_TIMEOUT.
 */
static void serve(unsigned int i)
{
	struct VDC_Command *cmd;
	int rc, code, command;
	uint32_t bytes;
	unsigned int n;

	for (n = 0; n < BATCH; n++) {
		rc = vdi_client_get_command(device[i], 0, &cmd);
		if (rc)
			break;
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
	if (n)
		restart_timer();
	if (!rc)
		return;		/* there may be more */
	ready[i] = false;
	if (rc == VD_E_TIMEOUT)
		return;
	if (rc != VD_E_CLOSE && rc != VD_E_ABORT)
		give_up();
	epoll_ctl(loop, EPOLL_CTL_DEL, vdi_client_device_fd(device[i]), NULL);
	running--;
}

/* The set has an event: when it is configured, open its devices. */
static void open_devices(void)
{
	struct VDConfig config;
	int rc;

	rc = vdi_client_get_configuration(client, 0, &config);
	if (rc == VD_E_TIMEOUT)
		return;
	/* its descriptor stays readable, and the devices report all else */
	epoll_ctl(loop, EPOLL_CTL_DEL, vdi_client_fd(client), NULL);
	waiting = false;
	if (rc) {
		if (rc != VD_E_ABORT)
			give_up();
		return;
	}
	if (!(config.features & VDF_WriteMedia) != restore) {
		stop(restore ? "the database does a backup" :
			       "the database does a restore");
		return;
	}
	while (running < devices) {
		if (vdi_client_open_device(client, NULL, &device[running])) {
			give_up();
			return;
		}
		ready[running] = true;
		if (watch(vdi_client_device_fd(device[running]), running))
			stop("cannot wait for a device");
		running++;
	}
	restart_timer();
}

/* The event loop; ends when all devices have. */
static void run(void)
{
	struct epoll_event event[SOURCES];
	struct signalfd_siginfo info;
	bool busy = false;
	uint64_t expired;
	char text[64];
	unsigned int i;
	int n;

	while (waiting || running) {
		n = epoll_wait(loop, event, SOURCES, busy ? 0 : -1);
		while (n-- > 0) {
			text[0] = '\0';
			if (event[n].data.u32 < VDI_MAX_DEVICES)
				ready[event[n].data.u32] = true;
			else if (event[n].data.u32 == SET)
				open_devices();
			else if (event[n].data.u32 == TIMER) {
				/* fails if it was restarted meanwhile */
				if (read(timer, &expired, sizeof(expired)) > 0)
					snprintf(text, sizeof(text),
						 "no command for %u seconds",
						 idle_limit);
			} else if (read(signals, &info, sizeof(info)) > 0) {
				snprintf(text, sizeof(text), "ended by %s",
					 strsignal(info.ssi_signo));
			}
			if (text[0])
				stop(text);
		}
		busy = false;
		for (i = 0; i < devices; i++) {
			if (ready[i])
				serve(i);
			busy |= ready[i];
		}
	}
}

static int transfer(const char *name)
{
	struct VDConfig config = {
		.deviceCount = devices,
		.features = restore ? VDF_LikePipe : VDF_RequestComplete,
		.serverTimeOut = SERVER_TIMEOUT,
	};
	char text[VDI_MESSAGE_SIZE];

	if (vdi_client_create(client, NULL, name, &config, NULL)) {
		give_up();
		return -1;
	}
	if (watch(vdi_client_fd(client), SET)) {
		warn("cannot wait for the set");
		return -1;
	}
	restart_timer();
	run();
	if (!vdi_client_outcome(client))
		return 0;
	vdi_client_message(client, text, sizeof(text));
	warnx("%s failed: %s", restore ? "restore" : "backup", text);
	return -1;
}

static void usage(void)
{
	fprintf(stderr, "usage: epoll_client [-t SECONDS] backup|restore NAME "
		"FILE [DEVICES]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	sigset_t set;
	int failed;

	while ((failed = getopt(argc, argv, "t:")) != -1) {
		if (failed != 't')
			usage();
		idle_limit = atoi(optarg);
	}
	argc -= optind;
	argv += optind;
	if (argc > 3)
		devices = atoi(argv[3]);
	if (argc < 3 || argc > 4 || devices < 1 || devices > VDI_MAX_DEVICES ||
	    (strcmp(argv[0], "backup") && strcmp(argv[0], "restore")))
		usage();
	restore = !strcmp(argv[0], "restore");

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	loop = epoll_create1(EPOLL_CLOEXEC);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (watch(signals, SIGNAL) || watch(timer, TIMER))
		err(1, "cannot wait for events");
	if (vdi_client_new(&client))
		errx(1, "out of memory");
	if (files_open(file, devices, argv[2], restore))
		return 1;

	failed = transfer(argv[1]);
	if (!failed && !restore && !published)
		failed = files_publish(file, devices);
	failed |= files_close(file, devices);
	if (failed && promised)
		warnx("%s stays: the database was told that it is whole",
		      argv[2]);
	else if (failed && !restore)
		files_remove(file, devices);
	vdi_client_free(client);
	return failed ? 1 : 0;
}
