// SPDX-License-Identifier: MIT
/*
 * backup: store a database backup in files, with the classes of libvdi.hpp
 *
 * usage: backup backup|restore NAME FILE [DEVICES]
 *
 * does what threads.c does, with the same files: one thread and file per device.
 * C++11 is enough. See libvdi-cpp(3).
 */
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <libvdi.hpp>

#include "files.h"

static const uint32_t wait_for_database = 300000;	/* milliseconds */
static const uint32_t server_timeout = 600000;	/* of the database */

class Transfer {
public:
	Transfer(unsigned int count, bool is_restore) :
		restore(is_restore), published(false), promised(false),
		set(NULL), devices(count), files(count)
	{
	}

	~Transfer()
	{
		if (set)
			set->Release();
	}

	/* 0 if this was a whole backup or restore, and files are safe */
	int run(const char *name, const char *path);

private:
	int connect(const char *name);
	int serve_all();
	void serve(unsigned int i);
	int execute(unsigned int i, const VDC_Command &cmd, uint32_t *bytes);
	bool publish();
	int complete_backup();

	/* What the last failed call says. */
	std::string message() const
	{
		char text[768];	/* enough for every message */

		vdi_client_message(set->LibvdiHandle(), text, sizeof(text));
		return text;
	}

	/* Abort the set. The calls of all threads return VD_E_ABORT then. */
	int stop(const std::string &why)
	{
		warnx("%s", why.c_str());
		/* SignalAbort() of the class, with a text */
		vdi_client_signal_abort(set->LibvdiHandle(), 0, why.c_str());
		return -1;
	}

	const bool restore;
	std::once_flag asked;	/* for the completion of the backup */
	bool published;		/* the files have their names */
	std::atomic<bool> promised;	/* ... and the database was told */
	IClientVirtualDeviceSet2 *set;
	std::vector<IClientVirtualDevice *> devices;	/* belong to the set */
	std::vector<struct file> files;

	Transfer(const Transfer &);
	Transfer &operator=(const Transfer &);
};

/* Give the files their names, if the backup of each device is whole. */
bool Transfer::publish()
{
	for (IClientVirtualDevice *device : devices) {
		if (device->GetOutcome()) {
			warnx("the backup is not whole: %s", message().c_str());
			return false;
		}
	}
	return !files_publish(files.data(), files.size());
}

/*
 * The database has sent everything and asks whether the backup is safe: it may
 * discard its log because of the answer. It asks on one device or on each, at
 * the same time, and gets the same answer everywhere.
 */
int Transfer::complete_backup()
{
	std::call_once(asked, [this] { published = publish(); });
	return published ? ERROR_SUCCESS : ERROR_IO_DEVICE;
}

/* Execute a command; return its completion code. */
int Transfer::execute(unsigned int i, const VDC_Command &cmd, uint32_t *bytes)
{
	switch (cmd.commandCode) {
	case VDC_ClearError:
		return ERROR_SUCCESS;
	case VDC_Read:
		if (restore)
			return file_read(&files[i], cmd.buffer, cmd.size,
					 bytes);
		break;
	case VDC_Write:
		if (!restore)
			return file_write(&files[i], cmd.buffer, cmd.size,
					  bytes);
		break;
	case VDC_Flush:
		if (!restore)
			return file_sync(&files[i]);
		break;
	case VDC_Complete:
		if (!restore)
			return complete_backup();
		break;
	}
	return ERROR_NOT_SUPPORTED;
}

/* The thread of device i: execute its commands until the database closes it. */
void Transfer::serve(unsigned int i)
{
	IClientVirtualDevice *device = devices[i];
	VDC_Command *cmd;
	int rc;

	while (!(rc = device->GetCommand(0xffffffff, &cmd))) {
		const int command = cmd->commandCode;
		uint32_t bytes = 0;
		int code = execute(i, *cmd, &bytes);

		/* from here on cmd and its buffer are the library's again */
		rc = device->CompleteCommand(cmd, code, bytes, 0);
		if (rc)
			break;
		if (command == VDC_Complete && code == ERROR_SUCCESS)
			promised = true;
	}
	if (rc != VD_E_CLOSE && rc != VD_E_ABORT)
		stop(message());
}

/* Create the set, wait for the database, and open the devices. */
int Transfer::connect(const char *name)
{
	VDConfig config = VDConfig();

	config.deviceCount = devices.size();
	config.features = restore ? VDF_LikePipe : VDF_RequestComplete;
	config.serverTimeOut = server_timeout;
	if (set->CreateEx(NULL, name, &config) ||
	    set->GetConfiguration(wait_for_database, &config))
		return stop(message());
	if (!(config.features & VDF_WriteMedia) != restore)
		return stop(restore ? "the database does a backup" :
				      "the database does a restore");
	for (IClientVirtualDevice *&device : devices)
		if (set->OpenDevice(NULL, &device))
			return stop(message());
	return 0;
}

/* Serve all devices; return 0 if that was a whole backup or restore. */
int Transfer::serve_all()
{
	std::vector<std::thread> threads;

	threads.reserve(devices.size());
	try {
		for (unsigned int i = 0; i < devices.size(); i++)
			threads.emplace_back(&Transfer::serve, this, i);
	} catch (const std::system_error &error) {
		stop(std::string("cannot start a thread: ") + error.what());
	}
	for (std::thread &thread : threads)
		thread.join();
	if (!set->GetOutcome())
		return 0;
	warnx("%s failed: %s", restore ? "restore" : "backup",
	      message().c_str());
	return -1;
}

int Transfer::run(const char *name, const char *path)
{
	int failed;

	if (IClientVirtualDeviceSet2::CreateInstance(&set)) {
		warnx("out of memory");
		return -1;
	}
	if (files_open(files.data(), files.size(), path, restore))
		return -1;
	failed = connect(name) || serve_all();
	if (!failed && !restore && !published)
		failed = files_publish(files.data(), files.size());
	failed |= files_close(files.data(), files.size());
	if (failed && promised)
		warnx("%s stays: the database was told that it is whole", path);
	else if (failed && !restore)
		files_remove(files.data(), files.size());
	return failed;
}

int main(int argc, char **argv)
{
	int devices = argc > 4 ? atoi(argv[4]) : 1;
	std::string verb = argc > 1 ? argv[1] : "";

	if (argc < 4 || argc > 5 || devices < 1 || devices > VDI_MAX_DEVICES ||
	    (verb != "backup" && verb != "restore")) {
		fprintf(stderr,
			"usage: backup backup|restore NAME FILE [DEVICES]\n");
		return 2;
	}
	return Transfer(devices, verb == "restore").run(argv[2], argv[3]) ?
	       1 : 0;
}
