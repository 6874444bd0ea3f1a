// SPDX-License-Identifier: GPL-2.0
/*
 * cpp_server.cpp - shows both sides of libvdi.hpp in one process: the server in the
 * main thread, with a thread for the completion agent, and the client in separate
 * threads
 */
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <libvdi.hpp>

#include "check.h"

int check_failures;

static const uint32_t FOR_EVER = 0xffffffff;
static const uint32_t SIZE = 65536;

static std::string set_name()
{
	return "cpp-" + std::to_string(getpid());
}

/* A set that both sides have joined and configured */
struct Pair {
	IClientVirtualDeviceSet2 *client;
	IServerVirtualDeviceSet2 *server;
	VDConfig config;

	explicit Pair(uint32_t devices, uint32_t direction = VDF_WriteMedia)
	{
		memset(&config, 0, sizeof(config));
		config.deviceCount = devices;
		IS(IClientVirtualDeviceSet2::CreateInstance(&client), NOERROR);
		IS(IServerVirtualDeviceSet2::CreateInstance(&server), NOERROR);
		IS(client->CreateEx(NULL, set_name().c_str(), &config),
		   NOERROR);
		IS(client->GetConfiguration(0, &config), VD_E_TIMEOUT);
		IS(server->Open(NULL, set_name().c_str()), NOERROR);
		IS(server->GetConfiguration(&config), NOERROR);
		IS(config.deviceCount, devices);
		IS(server->BeginConfiguration(direction, 512, 4096, SIZE,
					      FOR_EVER), NOERROR);
		IS(server->RequestBuffers(SIZE, 0, 2 * devices), NOERROR);
		IS(server->EndConfiguration(), NOERROR);
		IS(client->GetConfiguration(FOR_EVER, &config), NOERROR);
		IS(config.features, direction);
		IS(config.blockSize, 512);
		IS(config.alignment, 4096);
		IS(config.maxTransferSize, SIZE);
	}

	~Pair()
	{
		if (client)
			IS(client->Release(), 0);
		if (server)
			IS(server->Release(), 0);
	}

	void open(IClientVirtualDevice **vd, IServerVirtualDevice **device)
	{
		IS(client->OpenDevice(set_name().c_str(), vd), NOERROR);
		IS(server->OpenDevice(set_name().c_str(), device), NOERROR);
	}
};

/* --------------------------------------------------------------- transfer */

/* Data of the server for an outstanding command */
struct Job {
	VDS_Command cmd;
	IServerVirtualDevice *device;
	std::atomic<int> *left;
	int rest;		/* number of times to send it again */
};

static void send(Job *job)
{
	memset(job->cmd.buffer, job->rest & 0xff, SIZE);
	IS(job->device->SendCommand(&job->cmd), NOERROR);
}

/* Runs in the agent's thread and sends the next command from there. */
static void completed(VDS_Command *cmd)
{
	Job *job = (Job *)cmd->completionContext;

	IS(cmd->completionCode, ERROR_SUCCESS);
	IS(cmd->bytesTransferred, (uint32_t)cmd->size);
	if (--job->rest > 0)
		return send(job);
	if (--*job->left == 0)
		IS(job->device->CloseDevice(), NOERROR);
}

static void consume(IClientVirtualDeviceSet2 *client, std::string name,
		    std::atomic<int64_t> *bytes)
{
	IClientVirtualDevice *vd;
	VDC_Command *cmd;
	int code;

	IS(client->OpenDevice(name.c_str(), &vd), NOERROR);
	while (!(code = vd->GetCommand(FOR_EVER, &cmd))) {
		IS(cmd->commandCode, VDC_Write);
		IS(cmd->buffer[0], cmd->buffer[cmd->size - 1]);
		*bytes += cmd->size;
		IS(vd->CompleteCommand(cmd, ERROR_SUCCESS, cmd->size, 0),
		   NOERROR);
	}
	IS(code, VD_E_CLOSE);
	IS(vd->Release(), 0);
}

static void backup_of_four_devices()
{
	const int DEVICES = 4, EACH = 2, ROUNDS = 100;
	std::vector<std::thread> threads;
	std::atomic<int64_t> bytes(0);
	std::atomic<int> left[DEVICES];
	Job jobs[DEVICES][EACH];
	Pair pair(DEVICES);
	int i, k;

	memset(jobs, 0, sizeof(jobs));
	for (i = 0; i < DEVICES; i++) {
		std::string name = set_name();

		if (i)
			name += std::to_string(i);
		left[i] = EACH;
		IS(pair.server->OpenDevice(name.c_str(), &jobs[i][0].device),
		   NOERROR);
		threads.emplace_back(consume, pair.client, name, &bytes);
	}
	std::thread agent([&] {
		IS(pair.server->ExecuteCompletionAgent(), NOERROR);
	});
	for (i = 0; i < DEVICES; i++) {
		for (k = 0; k < EACH; k++) {
			Job *job = &jobs[i][k];

			job->device = jobs[i][0].device;
			job->left = &left[i];
			job->rest = ROUNDS;
			job->cmd.commandCode = VDC_Write;
			job->cmd.size = SIZE;
			job->cmd.completionRoutine = completed;
			job->cmd.completionContext = job;
			IS(pair.server->AllocateBuffer(&job->cmd.buffer, SIZE,
						       0), NOERROR);
			IS(pair.server->IsSharedBuffer(job->cmd.buffer), 1);
			send(job);
		}
	}
	agent.join();
	for (std::thread &t : threads)
		t.join();
	IS(bytes, (int64_t)DEVICES * EACH * ROUNDS * SIZE);
	IS(pair.client->Close(), NOERROR);
	IS(pair.server->Close(), NOERROR);
}

static void count_code(VDS_Command *cmd)
{
	++*(std::atomic<int> *)cmd->completionContext;
}

/* The client fills the buffers; the third command reaches the end of its data. */
static void restore_to_the_end()
{
	Pair pair(1, VDF_ReadMedia);
	std::atomic<int> count(0);
	IServerVirtualDevice *device;
	IClientVirtualDevice *vd;
	VDS_Command cmd;
	int i;

	pair.open(&vd, &device);
	std::thread client([=] {
		VDC_Command *got;

		for (int n = 0; n < 3; n++) {
			uint32_t size = n < 2 ? SIZE : 1000;

			IS(vd->GetCommand(FOR_EVER, &got), NOERROR);
			memset(got->buffer, n + 1, size);
			IS(vd->CompleteCommand(got, n < 2 ? ERROR_SUCCESS :
						    ERROR_HANDLE_EOF, size, 0),
			   NOERROR);
		}
		IS(vd->GetCommand(FOR_EVER, &got), NOERROR);
		IS(got->commandCode, VDC_ClearError);
		IS(vd->CompleteCommand(got, ERROR_SUCCESS, 0, 0), NOERROR);
		IS(vd->GetCommand(FOR_EVER, &got), VD_E_CLOSE);
		IS(vd->GetCommand(FOR_EVER, &got), VD_E_PROTOCOL);
	});
	memset(&cmd, 0, sizeof(cmd));
	cmd.commandCode = VDC_Read;
	cmd.size = SIZE;
	cmd.completionRoutine = count_code;
	cmd.completionContext = &count;
	IS(pair.server->AllocateBuffer(&cmd.buffer, SIZE, 0), NOERROR);
	for (i = 0; i < 3; i++) {
		IS(device->SendCommand(&cmd), NOERROR);
		while (count == i)
			vdi_server_run_completions(pair.server->LibvdiHandle(),
						   -1, NULL);
		IS(cmd.completionCode, i < 2 ? ERROR_SUCCESS :
					       ERROR_HANDLE_EOF);
		IS(cmd.bytesTransferred, i < 2 ? SIZE : 1000);
		IS(cmd.buffer[999], i + 1);
	}
	IS(device->SendCommand(&cmd), VD_E_IO_ERROR);
	IS(cmd.completionCode, ERROR_IO_DEVICE);
	IS(count, 4);
	cmd.commandCode = VDC_ClearError;
	cmd.size = 0;
	IS(device->SendCommand(&cmd), NOERROR);
	IS(device->CloseDevice(), NOERROR);
	IS(pair.server->ExecuteCompletionAgent(), NOERROR);
	IS(count, 5);
	IS(cmd.completionCode, ERROR_SUCCESS);
	client.join();
	IS(pair.client->Close(), NOERROR);
	IS(pair.server->Close(), NOERROR);
}

static void buffers()
{
	uint8_t *buffer, *aligned, *mapped;
	uint32_t count, handle;
	Pair pair(2);

	IS(pair.server->QueryAvailableBuffers(SIZE, 0, &count), NOERROR);
	IS(count, 4);
	IS(pair.server->AllocateBuffer(&buffer, SIZE, 0), NOERROR);
	IS(pair.server->QueryAvailableBuffers(SIZE, 0, &count), NOERROR);
	IS(count, 3);
	IS(pair.server->FreeBuffer(buffer, 512), VD_E_INVALID);
	IS(pair.server->FreeBuffer(buffer, SIZE), NOERROR);
	IS(pair.server->FreeBuffer(buffer, SIZE), VD_E_INVALID);
	IS(pair.server->RequestBuffers(1000, 32768, 1), NOERROR);
	IS(pair.server->AllocateBuffer(&aligned, 1000, 32768), NOERROR);
	IS((uintptr_t)aligned % 32768, 0);
	IS(pair.server->IsSharedBuffer(aligned), 1);
	IS(pair.server->IsSharedBuffer((uint8_t *)&pair), 0);
	IS(pair.client->GetBufferHandle((uint8_t *)&pair, &handle),
	   VD_E_INVALID);
	IS(pair.client->MapBufferHandle(1, &mapped), NOERROR);
	IS(pair.client->GetBufferHandle(mapped, &handle), NOERROR);
	IS(handle, 1);
	IS(pair.client->Close(), NOERROR);
}

/* ------------------------------------------------------------------ abort */

static void server_aborts()
{
	struct vdi_abort_info info;
	std::atomic<int> count(0);
	IServerVirtualDevice *device;
	IClientVirtualDevice *vd;
	VDS_Command cmd;
	Pair pair(1);

	pair.open(&vd, &device);
	memset(&cmd, 0, sizeof(cmd));
	cmd.commandCode = VDC_Flush;
	cmd.completionRoutine = count_code;
	cmd.completionContext = &count;
	std::thread client([=] {
		VDC_Command *got, *none;

		IS(vd->GetCommand(FOR_EVER, &got), NOERROR);
		IS(vd->GetCommand(FOR_EVER, &none), VD_E_ABORT);
		IS(vd->CompleteCommand(got, 0, 0, 0), VD_E_ABORT);
	});
	IS(device->SendCommand(&cmd), NOERROR);
	usleep(100000);
	IS(vdi_server_signal_abort(pair.server->LibvdiHandle(), 42, "enough"),
	   NOERROR);
	client.join();
	IS(pair.server->ExecuteCompletionAgent(), VD_E_ABORT);
	IS(count, 1);
	IS(cmd.completionCode, ERROR_OPERATION_ABORTED);
	IS(vdi_client_abort_info(pair.client->LibvdiHandle(), &info), NOERROR);
	IS(info.code, 42);
	IS(strcmp(info.text, "enough"), 0);
	IS(pair.server->SignalAbort(), NOERROR);
	IS(device->CloseDevice(), VD_E_ABORT);
	IS(pair.client->Close(), NOERROR);
	IS(pair.server->Close(), NOERROR);
}

static void client_aborts_under_the_agent()
{
	std::atomic<int> count(0);
	IServerVirtualDevice *device;
	IClientVirtualDevice *vd;
	VDS_Command cmd;
	Pair pair(1);

	pair.open(&vd, &device);
	memset(&cmd, 0, sizeof(cmd));
	cmd.commandCode = VDC_Flush;
	cmd.completionRoutine = count_code;
	cmd.completionContext = &count;
	IS(device->SendCommand(&cmd), NOERROR);
	std::thread agent([&] {
		IS(pair.server->ExecuteCompletionAgent(), VD_E_ABORT);
	});
	usleep(100000);
	IS(pair.client->SignalAbort(), NOERROR);
	agent.join();
	IS(count, 1);
	IS(cmd.completionCode, ERROR_OPERATION_ABORTED);
	IS(device->SendCommand(&cmd), VD_E_ABORT);
	IS(count, 2);
}

/* ---------------------------------------------------------------- lifetime */

static void devices_after_close()
{
	std::atomic<int> count(0);
	IServerVirtualDevice *device;
	IClientVirtualDevice *vd;
	VDC_Command *got;
	VDS_Command cmd;
	Pair pair(1);

	pair.open(&vd, &device);
	IS(device->CloseDevice(), NOERROR);
	IS(vd->GetCommand(FOR_EVER, &got), VD_E_CLOSE);
	IS(pair.client->Close(), NOERROR);
	IS(pair.client->Close(), VD_E_PROTOCOL);
	IS(pair.server->Close(), NOERROR);
	IS(vd->GetCommand(FOR_EVER, &got), VD_E_PROTOCOL);
	TRUTH(!got);
	IS(vd->CompleteCommand((VDC_Command *)&cmd, 0, 0, 0), VD_E_PROTOCOL);
	memset(&cmd, 0, sizeof(cmd));
	IS(device->SendCommand(&cmd), VD_E_INVALID);
	cmd.completionRoutine = count_code;
	cmd.completionContext = &count;
	IS(device->SendCommand(&cmd), VD_E_PROTOCOL);
	IS(cmd.completionCode, ERROR_INVALID_HANDLE);
	IS(count, 1);
	IS(device->CloseDevice(), VD_E_PROTOCOL);
}

static void references()
{
	IServerVirtualDevice *device;
	IClientVirtualDevice *vd;
	VDC_Command *got;
	Pair pair(1);

	pair.open(&vd, &device);
	IS(pair.client->AddRef(), 2);
	IS(pair.client->Release(), 1);
	/* devices may be released, as in COM, or not */
	IS(vd->Release(), 0);
	IS(vd->Release(), 0);
	IS(device->Release(), 0);
	/* a device that outlives the set keeps the set */
	IS(vd->AddRef(), 1);
	IS(pair.client->Release(), 1);
	IS(vd->GetCommand(0, &got), VD_E_TIMEOUT);
	IS(device->CloseDevice(), NOERROR);
	IS(vd->GetCommand(0, &got), VD_E_CLOSE);
	IS(vd->Release(), 0);
	pair.client = NULL;
}

/* The reference of another thread remains valid when the first one is released. */
static void reference_of_another()
{
	IServerVirtualDevice *device;
	IClientVirtualDevice *vd;
	VDC_Command *got;
	Pair pair(1);

	pair.open(&vd, &device);
	IS(vd->AddRef(), 2);
	IS(vd->Release(), 1);
	IS(pair.client->Release(), 1);
	IS(vd->GetCommand(0, &got), VD_E_TIMEOUT);
	IS(vd->Release(), 0);
	pair.client = NULL;
	IS(device->CloseDevice(), VD_E_ABORT);
}

static void last_release_closes()
{
	IServerVirtualDevice *device;
	IClientVirtualDevice *vd;
	Pair pair(1);

	pair.open(&vd, &device);
	IS(pair.client->Release(), 0);
	pair.client = NULL;
	IS(device->CloseDevice(), VD_E_ABORT);
}

static void one_object_for_several_sets()
{
	IClientVirtualDevice *vd, *kept = NULL;
	IClientVirtualDeviceSet2 *set;
	VDC_Command *got;
	VDConfig config;
	int i;

	IS(IClientVirtualDeviceSet2::CreateInstance(&set), NOERROR);
	for (i = 0; i < 3; i++) {
		IServerVirtualDeviceSet2 *server;

		memset(&config, 0, sizeof(config));
		config.deviceCount = 1;
		IS(set->CreateEx(NULL, set_name().c_str(), &config), NOERROR);
		IS(IServerVirtualDeviceSet2::CreateInstance(&server), NOERROR);
		IS(server->Open(NULL, set_name().c_str()), NOERROR);
		IS(server->BeginConfiguration(VDF_ReadMedia, 0, 0, 0, 0),
		   NOERROR);
		IS(server->EndConfiguration(), NOERROR);
		IS(set->GetConfiguration(FOR_EVER, &config), NOERROR);
		IS(set->OpenDevice(set_name().c_str(), &vd), NOERROR);
		if (i == 0) {
			kept = vd;
			kept->AddRef();
		}
		IS(set->Close(), VD_E_OPEN);
		IS(server->Release(), 0);
	}
	IS(kept->GetCommand(FOR_EVER, &got), VD_E_PROTOCOL);
	IS(kept->Release(), 1);
	IS(kept->Release(), 0);
	IS(set->Release(), 0);
}

/* Process and user of the other side, and trusted users */
static void peers()
{
	const uid_t nobody = 65534, self = geteuid();
	IServerVirtualDeviceSet2 *other;
	vdi_peer peer;
	uid_t user;
	Pair pair(1);

	IS(pair.server->GetPeer(&peer), NOERROR);
	IS(peer.role, VDI_ROLE_PRIMARY);
	IS(peer.pid, getpid());
	IS(peer.uid, self);
	IS(peer.gid, getegid());
	IS(strcmp(peer.comm, "cpp_server"), 0);
	IS(pair.client->GetPeer(&peer), NOERROR);
	IS(peer.role, VDI_ROLE_SERVER);
	IS(peer.pid, getpid());
	IS(pair.server->GetCreator(&user), NOERROR);
	IS(user, self);
	IS(pair.client->GetCreator(&user), NOERROR);
	IS(user, self);

	IS(IServerVirtualDeviceSet2::CreateInstance(&other), NOERROR);
	IS(other->GetPeer(&peer), VD_E_PROTOCOL);
	IS(other->GetCreator(&user), VD_E_PROTOCOL);
	IS(other->SetTrustedUsers(&nobody, 1), NOERROR);
	IS(other->Open(NULL, set_name().c_str()), VD_E_INVALID);
	IS(vdi_server_get_untrusted(other->LibvdiHandle(), &user), NOERROR);
	IS(user, self);
	IS(other->SetTrustedUsers(NULL, 0), NOERROR);
	IS(other->Open(NULL, set_name().c_str()), VD_E_BUSY);
	IS(other->SetTrustedUsers(NULL, 1), VD_E_INVALID);
	IS(pair.client->SetTrustedUsers(NULL, 1), VD_E_INVALID);
	IS(pair.client->SetTrustedUsers(&nobody, 1), NOERROR);
	IS(other->Release(), 0);
}

static void null_arguments()
{
	IClientVirtualDeviceSet2 *client;
	IServerVirtualDeviceSet2 *server;
	VDConfig config;

	IS(IClientVirtualDeviceSet2::CreateInstance(NULL), VD_E_INVALID);
	IS(IServerVirtualDeviceSet2::CreateInstance(NULL), VD_E_INVALID);
	IS(IClientVirtualDeviceSet2::CreateInstance(&client), NOERROR);
	IS(IServerVirtualDeviceSet2::CreateInstance(&server), NOERROR);
	IS(client->CreateEx(NULL, NULL, NULL), VD_E_INVALID);
	IS(client->OpenDevice(NULL, NULL), VD_E_INVALID);
	IS(client->OpenInSecondaryEx(NULL, NULL), VD_E_INVALID);
	IS(client->GetConfiguration(0, &config), VD_E_PROTOCOL);
	IS(client->SignalAbort(), VD_E_PROTOCOL);
	IS(client->Close(), VD_E_PROTOCOL);
	IS(server->Open(NULL, NULL), VD_E_INVALID);
	IS(server->Open(NULL, "no such set"), VD_E_INVALID);
	IS(server->OpenDevice(NULL, NULL), VD_E_INVALID);
	IS(server->BeginConfiguration(0, 0, 0, 0, 0), VD_E_PROTOCOL);
	IS(server->EndConfiguration(), VD_E_PROTOCOL);
	IS(server->ExecuteCompletionAgent(), VD_E_PROTOCOL);
	IS(server->SignalAbort(), VD_E_PROTOCOL);
	IS(server->Close(), VD_E_PROTOCOL);
	IS(client->Release(), 0);
	IS(server->Release(), 0);
}

int main(int argc, char **argv)
{
	static const Test tests[] = {
#define T(name) { #name, name }
		T(backup_of_four_devices),
		T(restore_to_the_end),
		T(buffers),
		T(server_aborts),
		T(client_aborts_under_the_agent),
		T(devices_after_close),
		T(references),
		T(reference_of_another),
		T(last_release_closes),
		T(one_object_for_several_sets),
		T(peers),
		T(null_arguments),
	};

	return run_test(tests, argc, argv);
}
