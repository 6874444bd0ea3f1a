// SPDX-License-Identifier: GPL-2.0
/*
 * sdk_misuse.cpp - shows that misuse of the classes of vdi.h returns error codes: every
 * method in the wrong order, twice, with NULL, after Close(), from several threads
 *
 * The server is in this process and uses the C interface. It shares a thread with the
 * client unless a test says otherwise.
 */
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <cstdarg>
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vdi.h"
#include "vdierror.h"

#include <libvdi.h>
#include <linux/vdiset.h>

#include "check.h"

int check_failures;

/* -------------------------------------------------------------- helpers */

static char *text(const char *s)
{
	return const_cast<char *>(s);
}

static char *set_name()
{
	static std::string name = "misuse-" + std::to_string(getpid());

	return &name[0];
}

static VDConfig config_of(uint32_t devices)
{
	VDConfig config;

	memset(&config, 0, sizeof(config));
	config.deviceCount = devices;
	return config;
}

static double now()
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int count_descriptors()
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A server with two devices, whose names are that of the set and "second" */
struct Server {
	vdi_server *server;
	vdi_server_device *device[2];
	uint8_t *buffer;
	VDS_Command cmd;
	int completed;

	static void done(VDS_Command *cmd)
	{
		((Server *)cmd->completionContext)->completed++;
	}

	explicit Server(uint32_t direction = VDF_WriteMedia)
	{
		VDConfig config;

		completed = 0;
		device[0] = device[1] = NULL;
		IS(vdi_server_new(&server), NOERROR);
		IS(vdi_server_open(server, NULL, set_name()), NOERROR);
		IS(vdi_server_get_configuration(server, &config), NOERROR);
		IS(vdi_server_begin_configuration(server,
			config.features | direction, 512, 0, 65536, -1),
		   NOERROR);
		if (config.deviceCount == 2)
			IS(vdi_server_name_device(server, 1, "second"),
			   NOERROR);
		IS(vdi_server_request_buffers(server, 65536, 0, 2), NOERROR);
		IS(vdi_server_end_configuration(server), NOERROR);
		IS(vdi_server_open_device(server, set_name(), &device[0]),
		   NOERROR);
		if (config.deviceCount == 2)
			IS(vdi_server_open_device(server, "second", &device[1]),
			   NOERROR);
		IS(vdi_server_allocate_buffer(server, &buffer, 65536, 0),
		   NOERROR);
	}

	~Server()
	{
		vdi_server_free(server);
	}

	void send(int code, int size)
	{
		memset(&cmd, 0, sizeof(cmd));
		cmd.commandCode = code;
		cmd.size = size;
		cmd.buffer = size ? buffer : NULL;
		cmd.completionRoutine = done;
		cmd.completionContext = this;
		IS(vdi_server_send_command(device[0], &cmd), NOERROR);
	}

	void close()
	{
		while (vdi_server_run_completions(server, 0, NULL) == NOERROR)
			;
		IS(vdi_server_close_device(device[0]), NOERROR);
		if (device[1])
			IS(vdi_server_close_device(device[1]), NOERROR);
	}
};

/* A configured set with a server */
struct Pair {
	ClientVirtualDeviceSet set;
	VDConfig config;
	Server *server;

	explicit Pair(uint32_t devices = 1) : config(config_of(devices))
	{
		IS(set.Create(set_name(), &config), 0);
		server = new Server;
		IS(set.GetConfiguration(-1, &config), 0);
	}

	~Pair()
	{
		delete server;
	}

	ClientVirtualDevice *open()
	{
		ClientVirtualDevice *vd = NULL;

		IS(set.OpenDevice(set_name(), &vd), 0);
		return vd;
	}
};

/* ---------------------------------------------------------- without a set */

static void every_method_without_a_set(ClientVirtualDeviceSet *set)
{
	ClientVirtualDevice *vd = (ClientVirtualDevice *)1;
	VDConfig config = config_of(1);
	unsigned int handle;
	uint8_t byte, *at;

	IS(set->GetConfiguration(-1, &config), VD_E_PROTOCOL);
	IS(set->OpenDevice(set_name(), &vd), VD_E_PROTOCOL);
	TRUTH(!vd);
	IS(set->SignalAbort(), VD_E_PROTOCOL);
	IS(set->GetBufferHandle(&byte, &handle), VD_E_PROTOCOL);
	IS(set->MapBufferHandle(1, &at), VD_E_PROTOCOL);
	IS(set->Close(), VD_E_PROTOCOL);
	set->RegisterDeviceClosed();
}

static void closed_set()
{
	ClientVirtualDeviceSet *heap = new ClientVirtualDeviceSet;
	ClientVirtualDeviceSet stack;

	every_method_without_a_set(&stack);
	every_method_without_a_set(heap);
	every_method_without_a_set(heap);
	delete heap;
}

static void closed_device()
{
	ClientVirtualDevice stack, *heap = new ClientVirtualDevice;
	VDC_Command cmd, *got = &cmd;

	memset(&cmd, 0, sizeof(cmd));
	IS(stack.GetCommand(-1, &got), VD_E_PROTOCOL);
	TRUTH(!got);
	IS(stack.CompleteCommand(&cmd, 0, 0, 0), VD_E_PROTOCOL);
	IS(heap->GetCommand(-1, NULL), VD_E_PROTOCOL);
	IS(heap->CompleteCommand(NULL, 0, 0, 0), VD_E_PROTOCOL);
	delete heap;
}

static void null_and_bad_names()
{
	std::string longest(300, 'x');
	ClientVirtualDeviceSet set;
	VDConfig config = config_of(1);

	IS(set.Create(NULL, &config), VD_E_INVALID);
	IS(set.Create(set_name(), NULL), VD_E_INVALID);
	IS(set.Create(text(""), &config), VD_E_INVALID);
	IS(set.Create(text("a\\b"), &config), VD_E_INVALID);
	IS(set.Create(&longest[0], &config), VD_E_INVALID);
	IS(set.OpenInSecondary(NULL), VD_E_INVALID);
	IS(set.OpenInSecondary(text("")), VD_E_INVALID);
	IS(set.OpenInSecondary(&longest[0]), VD_E_INVALID);
	IS(set.OpenInSecondary(text("no such set")), VD_E_PROTOCOL);
	every_method_without_a_set(&set);
}

static void bad_configurations()
{
	ClientVirtualDeviceSet set;
	VDConfig config;

	config = config_of(0);
	IS(set.Create(set_name(), &config), VD_E_NOTSUPPORTED);
	config = config_of(65);
	IS(set.Create(set_name(), &config), VD_E_NOTSUPPORTED);
	config = config_of(1);
	config.alignment = 3;
	IS(set.Create(set_name(), &config), VD_E_NOTSUPPORTED);
	config.alignment = 0;
	config.features = VDF_Rewind;	/* one bit of a tape */
	IS(set.Create(set_name(), &config), VD_E_NOTSUPPORTED);
	config.features = VDF_LatchStats;
	IS(set.Create(set_name(), &config), VD_E_NOTSUPPORTED);
	every_method_without_a_set(&set);
}

/* The configuration that the server returned before must be accepted. */
static void configuration_used_again()
{
	VDConfig config = config_of(1);
	int i;

	config.features = VDF_RequestComplete;
	for (i = 0; i < 3; i++) {
		ClientVirtualDeviceSet set;

		IS(set.Create(set_name(), &config), 0);
		Server server(VDF_WriteMedia | VDF_CompleteEnabled);
		IS(set.GetConfiguration(0, &config), 0);
		IS(config.features, VDF_RequestComplete | VDF_WriteMedia |
		   VDF_CompleteEnabled);
		IS(config.maxTransferSize, 65536);
		set.Close();
	}
}

/* ----------------------------------------------------------- wrong order */

static void created_but_not_configured()
{
	ClientVirtualDeviceSet set, other;
	ClientVirtualDevice *vd;
	VDConfig config = config_of(1);
	unsigned int handle;
	uint8_t byte, *at;

	IS(set.Create(set_name(), &config), 0);
	IS(set.Create(set_name(), &config), VD_E_PROTOCOL);
	IS(set.OpenInSecondary(set_name()), VD_E_PROTOCOL);
	IS(other.Create(set_name(), &config), VD_E_PROTOCOL);
	IS(other.OpenInSecondary(set_name()), VD_E_PROTOCOL);
	IS(set.GetConfiguration(0, &config), VD_E_TIMEOUT);
	IS(set.GetConfiguration(20, &config), VD_E_TIMEOUT);
	IS(set.GetConfiguration(0, NULL), VD_E_INVALID);
	IS(set.OpenDevice(set_name(), &vd), VD_E_PROTOCOL);
	IS(set.OpenDevice(NULL, &vd), VD_E_INVALID);
	IS(set.OpenDevice(set_name(), NULL), VD_E_INVALID);
	IS(set.GetBufferHandle(&byte, &handle), VD_E_PROTOCOL);
	IS(set.MapBufferHandle(1, &at), VD_E_PROTOCOL);
	IS(set.Close(), 0);
	every_method_without_a_set(&set);

	config = config_of(1);
	IS(set.Create(set_name(), &config), 0);	/* the object can be reused */
	IS(set.SignalAbort(), 0);
	IS(set.SignalAbort(), 0);
	IS(set.GetConfiguration(-1, &config), VD_E_ABORT);
	IS(set.OpenDevice(set_name(), &vd), VD_E_ABORT);
	IS(set.Close(), 0);
}

static void devices_opened_wrongly()
{
	ClientVirtualDevice *first, *vd;
	Pair pair(2);

	IS(pair.set.OpenDevice(text("nobody"), &vd), VD_E_INVALID);
	TRUTH(!vd);
	first = pair.open();
	IS(pair.set.OpenDevice(set_name(), &vd), VD_E_PROTOCOL);
	IS(pair.set.OpenDevice(text("second"), &vd), 0);
	IS(pair.set.OpenDevice(text("third"), &vd), VD_E_OPEN);
	IS(pair.set.OpenDevice(set_name(), &vd), VD_E_OPEN);
	IS(pair.set.Close(), VD_E_OPEN);
	delete first;
}

static void commands_completed_wrongly()
{
	ClientVirtualDevice *vd, *second;
	VDC_Command *cmd, *again, wild;
	Pair pair(2);

	vd = pair.open();
	IS(pair.set.OpenDevice(text("second"), &second), 0);
	IS(vd->GetCommand(0, NULL), VD_E_INVALID);
	IS(vd->GetCommand(0, &cmd), VD_E_TIMEOUT);
	TRUTH(!cmd);
	pair.server->send(VDC_Write, 4096);
	IS(vd->GetCommand(-1, &cmd), 0);
	IS(cmd->commandCode, VDC_Write);
	IS(cmd->size, 4096);

	memset(&wild, 0, sizeof(wild));
	IS(vd->CompleteCommand(NULL, 0, 0, 0), VD_E_INVALID);
	IS(vd->CompleteCommand(&wild, 0, 0, 0), VD_E_INVALID);
	IS(vd->CompleteCommand((VDC_Command *)8, 0, 0, 0), VD_E_INVALID);
	IS(vd->CompleteCommand((VDC_Command *)-8, 0, 0, 0), VD_E_INVALID);
	IS(vd->CompleteCommand((VDC_Command *)((char *)cmd + 1), 0, 0, 0),
	   VD_E_INVALID);
	IS(vd->CompleteCommand(cmd + 1, 0, 0, 0), VD_E_INVALID);
	IS(second->CompleteCommand(cmd, 0, 0, 0), VD_E_INVALID);
	IS(vd->CompleteCommand(cmd, 0, 4097, 0), VD_E_INVALID);
	IS(vd->CompleteCommand(cmd, 0, 1UL << 32 | 4096, 0), VD_E_INVALID);
	IS(vd->CompleteCommand(cmd, 0, 4096, 0), 0);
	IS(vd->CompleteCommand(cmd, 0, 4096, 0), VD_E_INVALID);

	pair.server->close();
	IS(pair.server->completed, 1);
	IS(vd->GetCommand(-1, &again), VD_E_CLOSE);
	IS(vd->GetCommand(-1, &again), VD_E_PROTOCOL);
	IS(vd->CompleteCommand(cmd, 0, 4096, 0), VD_E_PROTOCOL);
	IS(second->GetCommand(-1, &again), VD_E_CLOSE);
	IS(pair.set.Close(), 0);
	IS(vd->GetCommand(-1, &again), VD_E_PROTOCOL);
	IS(vd->CompleteCommand(cmd, 0, 4096, 0), VD_E_PROTOCOL);
}

static void handles_of_buffers()
{
	ClientVirtualDevice *vd;
	unsigned int handle;
	VDC_Command *cmd;
	uint8_t *at, byte;
	Pair pair;

	vd = pair.open();
	pair.server->send(VDC_Write, 512);
	IS(vd->GetCommand(-1, &cmd), 0);
	IS(pair.set.GetBufferHandle(cmd->buffer, &handle), 0);
	IS(pair.set.MapBufferHandle(handle, &at), 0);
	TRUTH(at == cmd->buffer);
	IS(pair.set.GetBufferHandle(cmd->buffer, NULL), VD_E_INVALID);
	IS(pair.set.GetBufferHandle(NULL, &handle), VD_E_INVALID);
	IS(pair.set.GetBufferHandle(&byte, &handle), VD_E_INVALID);
	IS(pair.set.GetBufferHandle(cmd->buffer + 1, &handle), VD_E_INVALID);
	IS(pair.set.GetBufferHandle((uint8_t *)-4096, &handle), VD_E_INVALID);
	IS(pair.set.MapBufferHandle(handle, NULL), VD_E_INVALID);
	IS(pair.set.MapBufferHandle(0, &at), VD_E_INVALID);
	IS(pair.set.MapBufferHandle(-1, &at), VD_E_INVALID);
	IS(pair.set.MapBufferHandle(0x7fffffff, &at), VD_E_INVALID);
	IS(pair.set.Close(), VD_E_OPEN);
}

/* After an abort every call except Close fails, and none hangs. */
static void aborted_by_the_server()
{
	ClientVirtualDevice *vd;
	VDC_Command *cmd, *more;
	VDConfig config;
	Pair pair;

	vd = pair.open();
	pair.server->send(VDC_Flush, 0);
	IS(vd->GetCommand(-1, &cmd), 0);
	IS(vdi_server_signal_abort(pair.server->server, 7, "no more"), NOERROR);
	IS(vd->CompleteCommand(cmd, 0, 0, 0), VD_E_ABORT);
	IS(vd->GetCommand(-1, &more), VD_E_ABORT);
	IS(pair.set.GetConfiguration(-1, &config), VD_E_ABORT);
	IS(pair.set.SignalAbort(), 0);
	IS(pair.set.Close(), 0);
	IS(pair.set.Close(), VD_E_PROTOCOL);
}

/* ----------------------------------------------------- lifetime of objects */

static void deleted_and_not_deleted()
{
	ClientVirtualDevice *vd, *second;
	ClientVirtualDeviceSet *set;
	VDConfig config;
	VDC_Command *cmd;
	int i;

	for (i = 0; i < 4; i++) {
		config = config_of(2);
		set = new ClientVirtualDeviceSet;
		IS(set->Create(set_name(), &config), 0);
		Server server;
		IS(set->GetConfiguration(-1, &config), 0);
		IS(set->OpenDevice(set_name(), &vd), 0);
		IS(set->OpenDevice(text("second"), &second), 0);
		if (i == 0)	/* before Close and the set's destructor */
			delete vd;
		if (i == 1)
			IS(set->Close(), VD_E_OPEN);
		delete set;
		if (i > 0) {	/* after both */
			IS(vd->GetCommand(-1, &cmd), VD_E_PROTOCOL);
			delete vd;
		}
		IS(second->GetCommand(-1, &cmd), VD_E_PROTOCOL);
		/* second is never deleted */
	}
}

static void copies_of_objects()
{
	ClientVirtualDevice *vd;
	VDC_Command *cmd;
	Pair *pair = new Pair;

	vd = pair->open();
	{
		ClientVirtualDevice copy = *vd;

		pair->server->send(VDC_Flush, 0);
		IS(copy.GetCommand(-1, &cmd), 0);
	}
	IS(vd->CompleteCommand(cmd, 0, 0, 0), 0);
	{
		ClientVirtualDeviceSet copy = pair->set;

		IS(copy.Close(), VD_E_OPEN);
	}
	every_method_without_a_set(&pair->set);
	IS(vd->GetCommand(-1, &cmd), VD_E_PROTOCOL);
	delete vd;
	delete pair;
}

struct Derived : ClientVirtualDeviceSet {
	int more;
};

static void derived_class()
{
	VDConfig config = config_of(1);
	Derived *set = new Derived;

	IS(set->Create(set_name(), &config), 0);
	IS(set->GetConfiguration(0, &config), VD_E_TIMEOUT);
	delete set;
}

static void the_same_object_again_and_again()
{
	ClientVirtualDeviceSet set;
	ClientVirtualDevice *vd[50];
	VDC_Command *cmd;
	VDConfig config;
	int i, before = 0;

	for (i = 0; i < 50; i++) {
		config = config_of(1);
		IS(set.Create(set_name(), &config), 0);
		{
			Server server;

			IS(set.GetConfiguration(-1, &config), 0);
			IS(set.OpenDevice(set_name(), &vd[i]), 0);
			if (i)	/* the device of the previous set is invalid */
				IS(vd[i - 1]->GetCommand(0, &cmd),
				   VD_E_PROTOCOL);
			server.close();
			IS(vd[i]->GetCommand(-1, &cmd), VD_E_CLOSE);
			IS(set.Close(), 0);
		}
		if (i == 1)
			before = count_descriptors();
	}
	IS(count_descriptors(), before);
	for (i = 0; i < 50; i++)
		delete vd[i];
}

/* A child inherits the objects, but they belong to the parent. */
static void forked_child()
{
	ClientVirtualDevice *vd;
	VDC_Command *cmd;
	Pair *pair = new Pair;
	int status;
	pid_t pid;

	vd = pair->open();
	pid = fork();
	if (pid == 0) {
		VDConfig config;

		IS(vd->GetCommand(0, &cmd), VD_E_PROTOCOL);
		IS(pair->set.GetConfiguration(0, &config), VD_E_PROTOCOL);
		IS(pair->set.SignalAbort(), VD_E_PROTOCOL);
		IS(pair->set.Close(), VD_E_PROTOCOL);
		IS(vd->GetCommand(0, &cmd), VD_E_PROTOCOL);
		pair->set.~ClientVirtualDeviceSet();
		_exit(check_failures ? 1 : 0);
	}
	IS(waitpid(pid, &status, 0), pid);
	IS(status, 0);
	pair->server->send(VDC_Flush, 0);
	IS(vd->GetCommand(-1, &cmd), 0);
	IS(vd->CompleteCommand(cmd, 0, 0, 0), 0);
	pair->server->close();
	IS(vd->GetCommand(-1, &cmd), VD_E_CLOSE);
	IS(pair->set.Close(), 0);
	delete pair;
}

/* The child does not have the parent's threads, and must not wait for their calls. */
static void forked_under_a_call()
{
	Pair *pair = new Pair;
	ClientVirtualDevice *vd = pair->open();
	int status;
	pid_t pid;

	std::thread waiter([=] {
		VDC_Command *cmd;

		IS(vd->GetCommand(-1, &cmd), VD_E_CLOSE);
	});
	usleep(100000);
	pid = fork();
	if (pid == 0) {
		ClientVirtualDeviceSet own;
		VDC_Command *cmd;

		alarm(20);
		IS(pair->set.Close(), VD_E_PROTOCOL);
		IS(vd->GetCommand(0, &cmd), VD_E_PROTOCOL);
		pair->set.~ClientVirtualDeviceSet();
		IS(own.Close(), VD_E_PROTOCOL);
		_exit(check_failures ? 1 : 0);
	}
	IS(waitpid(pid, &status, 0), pid);
	IS(status, 0);
	pair->server->close();
	waiter.join();
	IS(pair->set.Close(), 0);
	delete pair;
}

/* ----------------------------------------------------------------- threads */

static void abort_wakes_get_command()
{
	static const time_t for_ever[] = { -1, 0xffffffff, -3600 };

	for (time_t timeout : for_ever) {
		ClientVirtualDevice *vd;
		Pair pair;

		vd = pair.open();
		std::thread waiter([=] {
			VDC_Command *cmd;

			IS(vd->GetCommand(timeout, &cmd), VD_E_ABORT);
		});
		usleep(100000);
		IS(pair.set.SignalAbort(), 0);
		waiter.join();
		IS(pair.set.Close(), 0);
		delete vd;
	}
}

static void abort_wakes_get_configuration()
{
	static const time_t for_ever[] = { -1, 0xffffffff };

	for (time_t timeout : for_ever) {
		ClientVirtualDeviceSet set;
		VDConfig config = config_of(1);

		IS(set.Create(set_name(), &config), 0);
		std::thread waiter([&] {
			VDConfig result;

			IS(set.GetConfiguration(timeout, &result), VD_E_ABORT);
		});
		usleep(100000);
		IS(set.SignalAbort(), 0);
		waiter.join();
		IS(set.Close(), 0);
	}
}

static void close_under_get_command()
{
	ClientVirtualDevice *vd;
	vdi_abort_info info;
	VDC_Command *cmd;
	Pair pair;

	vd = pair.open();
	std::thread waiter([=] {
		VDC_Command *got;

		IS(vd->GetCommand(-1, &got), VD_E_ABORT);
	});
	usleep(100000);
	IS(pair.set.Close(), VD_E_OPEN);
	waiter.join();
	IS(vd->GetCommand(-1, &cmd), VD_E_PROTOCOL);
	IS(vdi_server_abort_info(pair.server->server, &info), NOERROR);
	IS(info.role, VDI_ROLE_PRIMARY);
	IS(info.pid, getpid());
}

static void two_threads_get_commands_of_one_device()
{
	ClientVirtualDevice *vd;
	VDC_Command *cmd;
	Pair pair;

	vd = pair.open();
	std::thread waiter([=] {
		VDC_Command *got;

		IS(vd->GetCommand(-1, &got), 0);
		IS(vd->CompleteCommand(got, 0, 0, 0), 0);
	});
	usleep(300000);
	IS(vd->GetCommand(-1, &cmd), VD_E_BUSY);
	pair.server->send(VDC_Flush, 0);
	waiter.join();
	pair.server->close();
	IS(vd->GetCommand(-1, &cmd), VD_E_CLOSE);
	IS(pair.set.Close(), 0);
}

static void destructor_under_get_configuration()
{
	ClientVirtualDeviceSet *set = new ClientVirtualDeviceSet;
	VDConfig config = config_of(1);

	IS(set->Create(set_name(), &config), 0);
	std::thread waiter([=] {
		VDConfig result;

		IS(set->GetConfiguration(-1, &result), VD_E_ABORT);
	});
	usleep(100000);
	delete set;
	waiter.join();
}

/* Only a documented code, and no crash, can be expected. */
static void documented(int code)
{
	TRUTH(code == 0 || (code >= VD_E_NOTOPEN && code <= VD_E_BUSY));
}

static void play(ClientVirtualDeviceSet *set,
		 std::atomic<ClientVirtualDevice *> *shared, unsigned int seed,
		 double end)
{
	ClientVirtualDevice *vd;
	VDC_Command *cmd;
	VDConfig config;
	unsigned int handle;
	uint8_t *at;

	while (now() < end) {
		switch (rand_r(&seed) % 9) {
		case 0:
			config = config_of(1);
			documented(set->Create(set_name(), &config));
			break;
		case 1:
			documented(set->GetConfiguration(rand_r(&seed) % 3,
							 &config));
			break;
		case 2:
			documented(set->OpenDevice(set_name(), &vd));
			if (vd)
				shared->store(vd);
			break;
		case 3:
		case 4:
			vd = shared->load();
			if (vd && (documented(vd->GetCommand(
					rand_r(&seed) % 3, &cmd)), cmd))
				documented(vd->CompleteCommand(cmd, 0, 0, 0));
			break;
		case 5:
			documented(set->GetBufferHandle((uint8_t *)set,
							&handle));
			documented(set->MapBufferHandle(1, &at));
			break;
		case 6:
			if (rand_r(&seed) % 4 == 0)
				documented(set->SignalAbort());
			break;
		case 7:
			if (rand_r(&seed) % 4 == 0)
				documented(set->Close());
			break;
		case 8:
			documented(set->OpenInSecondary(set_name()));
			break;
		}
	}
}

/* Servers join as long as the other threads run, and send commands. */
static void serve(double end)
{
	static VDS_Command cmds[64];
	unsigned int i = 0;

	while (now() < end) {
		vdi_server_device *device;
		vdi_server *server;

		vdi_server_new(&server);
		if (!vdi_server_open(server, NULL, set_name()) &&
		    !vdi_server_begin_configuration(server, VDF_WriteMedia, 512,
						    0, 65536, -1) &&
		    !vdi_server_request_buffers(server, 65536, 0, 1) &&
		    !vdi_server_end_configuration(server) &&
		    !vdi_server_open_device(server, set_name(), &device)) {
			for (i = 0; i < 64; i++) {
				cmds[i].commandCode = VDC_Flush;
				cmds[i].completionRoutine =
					[](VDS_Command *) {};
				vdi_server_send_command(device, &cmds[i]);
				vdi_server_run_completions(server, 1, NULL);
			}
			vdi_server_close_device(device);
			vdi_server_run_completions(server, 10, NULL);
		}
		vdi_server_free(server);
		usleep(1000);
	}
}

static void everybody_does_everything()
{
	std::atomic<ClientVirtualDevice *> shared(NULL);
	ClientVirtualDeviceSet set;
	std::vector<std::thread> threads;
	double end = now() + 5;
	unsigned int i;

	setenv("VDI_GETCOMMAND_UNIT", "milliseconds", 1);
	threads.emplace_back(serve, end);
	for (i = 0; i < 6; i++)
		threads.emplace_back(play, &set, &shared, i, end);
	for (std::thread &t : threads)
		t.join();
}

/* ------------------------------------------------------------- environment */

/*
 * Replaces ioctl(2) in the library, to record the time-out that a call passes to the
 * kernel. The awaited event is then triggered, so that the test does not wait.
 */
static int64_t asked_ns;
static void (*answer)();
static Pair *waiting;

static void answer_wait(int64_t timeout_ns)
{
	void (*fn)() = answer;

	answer = NULL;
	asked_ns = timeout_ns;
	fn();
}

extern "C" int ioctl(int fd, unsigned long request, ...) noexcept
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == VDISET_DEVICE_WAIT && answer)
		answer_wait(((vdiset_device_wait *)arg)->timeout_ns);
	if (request == VDISET_GET_CONFIG && answer)
		answer_wait(((vdiset_get_config *)arg)->timeout_ns);
	return syscall(SYS_ioctl, fd, request, arg);
}

static void send_flush()
{
	waiting->server->send(VDC_Flush, 0);
}

static int64_t command_ns(time_t timeout)
{
	ClientVirtualDevice *vd;
	VDC_Command *cmd;
	Pair pair;

	vd = pair.open();
	IS(vd->GetCommand(0, &cmd), VD_E_TIMEOUT);
	waiting = &pair;
	answer = send_flush;
	IS(vd->GetCommand(timeout, &cmd), 0);
	TRUTH(!answer);
	IS(vd->CompleteCommand(cmd, 0, 0, 0), 0);
	return asked_ns;
}

static Server *late_server;

static void start_server()
{
	late_server = new Server;
}

static int64_t configuration_ns(time_t timeout)
{
	ClientVirtualDeviceSet set;
	VDConfig config = config_of(1);

	IS(set.Create(set_name(), &config), 0);
	answer = start_server;
	IS(set.GetConfiguration(timeout, &config), 0);
	TRUTH(!answer);
	delete late_server;
	return asked_ns;
}

static void timeouts_in_seconds_and_milliseconds()
{
	static const int64_t MS = 1000000, S = 1000 * MS;

	/* the 90 of the SDK's sample are seconds; the document says milliseconds */
	unsetenv("VDI_GETCOMMAND_UNIT");
	IS(command_ns(90), 90 * S);
	IS(command_ns(1), 1 * S);
	IS(command_ns(999), 999 * S);
	IS(command_ns(1000), 1000 * MS);
	IS(command_ns(60000), 60000 * MS);
	IS(command_ns(-1), -1);
	IS(command_ns(0xffffffff), -1);
	setenv("VDI_GETCOMMAND_UNIT", "auto", 1);
	IS(command_ns(90), 90 * S);
	IS(command_ns(1000), 1000 * MS);
	setenv("VDI_GETCOMMAND_UNIT", "", 1);
	IS(command_ns(90), 90 * S);
	setenv("VDI_GETCOMMAND_UNIT", "milliseconds", 1);
	IS(command_ns(90), 90 * MS);
	IS(command_ns(1000), 1000 * MS);
	IS(command_ns(-1), -1);
	setenv("VDI_GETCOMMAND_UNIT", "seconds", 1);
	IS(command_ns(90), 90 * S);
	IS(command_ns(1000), 1000 * S);
	IS(command_ns(INT64_MAX / 10), -1);
	IS(command_ns(-1), -1);
}

static void timeouts_of_get_configuration()
{
	static const char *const units[] = { "auto", "seconds",
					     "milliseconds" };

	for (const char *unit : units) {
		setenv("VDI_GETCOMMAND_UNIT", unit, 1);
		IS(configuration_ns(90), INT64_C(90000000));
		IS(configuration_ns(10000), INT64_C(10000000000));
		IS(configuration_ns(-1), -1);
	}
}

static void unknown_units()
{
	static const char *const units[] = { "minutes", "1", "Seconds",
					     "seconds " };
	VDConfig config = config_of(1);
	ClientVirtualDeviceSet set;

	for (const char *unit : units) {
		setenv("VDI_GETCOMMAND_UNIT", unit, 1);
		IS(set.Create(set_name(), &config), VD_E_INVALID);
		IS(set.OpenInSecondary(set_name()), VD_E_INVALID);
	}
}

static void unusable_access()
{
	ClientVirtualDeviceSet set;
	VDConfig config = config_of(1);

	setenv("VDI_SET_GROUP", "no-such-group", 1);
	IS(set.Create(set_name(), &config), VD_E_SECURITY);
	setenv("VDI_SET_GROUP", "", 1);
	setenv("VDI_SET_MODE", "0999", 1);
	IS(set.Create(set_name(), &config), VD_E_SECURITY);
	setenv("VDI_SET_MODE", "1777", 1);
	IS(set.Create(set_name(), &config), VD_E_SECURITY);
	unsetenv("VDI_SET_MODE");
	setenv("VDI_SET_OWNER", "no-such-user", 1);
	IS(set.Create(set_name(), &config), VD_E_SECURITY);
	setenv("VDI_SET_OWNER", "0", 1);
	IS(set.Create(set_name(), &config), 0);
	IS(set.Close(), 0);
}

/* A secondary must trust the user of the primary. */
static void secondary_trusts_users()
{
	const uid_t self = geteuid();
	ClientVirtualDeviceSet second;
	Pair pair;

	setenv("VDI_TRUSTED_USERS", "no-such-user", 1);
	IS(second.OpenInSecondary(set_name()), VD_E_SECURITY);
	setenv("VDI_TRUSTED_USERS", "0,", 1);
	IS(second.OpenInSecondary(set_name()), VD_E_SECURITY);
	setenv("VDI_TRUSTED_USERS", "65534", 1);
	IS(second.OpenInSecondary(set_name()), VD_E_PROTOCOL);
	setenv("VDI_TRUSTED_USERS", ("65534," + std::to_string(self)).c_str(),
	       1);
	IS(second.OpenInSecondary(set_name()), 0);
	IS(second.Close(), 0);
	setenv("VDI_TRUSTED_USERS", "", 1);
	IS(second.OpenInSecondary(set_name()), 0);
}

int main(int argc, char **argv)
{
	static const Test tests[] = {
#define T(name) { #name, name }
		T(closed_set),
		T(closed_device),
		T(null_and_bad_names),
		T(bad_configurations),
		T(configuration_used_again),
		T(created_but_not_configured),
		T(devices_opened_wrongly),
		T(commands_completed_wrongly),
		T(handles_of_buffers),
		T(aborted_by_the_server),
		T(deleted_and_not_deleted),
		T(copies_of_objects),
		T(derived_class),
		T(the_same_object_again_and_again),
		T(forked_child),
		T(forked_under_a_call),
		T(abort_wakes_get_command),
		T(abort_wakes_get_configuration),
		T(close_under_get_command),
		T(two_threads_get_commands_of_one_device),
		T(destructor_under_get_configuration),
		T(everybody_does_everything),
		T(timeouts_in_seconds_and_milliseconds),
		T(timeouts_of_get_configuration),
		T(unknown_units),
		T(unusable_access),
		T(secondary_trusts_users),
	};

	return run_test(tests, argc, argv);
}
