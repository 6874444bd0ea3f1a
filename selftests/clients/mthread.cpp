// SPDX-License-Identifier: GPL-2.0
/*
 * mthread.cpp - a client of several devices with one thread each, as ported
 * from Windows
 *
 *	mthread backup|restore DEVICES FILES STATEMENT
 */
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "transfer.h"

static IClientVirtualDeviceSet2 *vds;
static std::string name, files;
static std::atomic<int> failures(0);

static void fail(const std::string &who, const std::string &what, HRESULT hr)
{
	report(who, what, vds, hr);
	vds->SignalAbort();
	failures++;
}

/* Serves the device of this thread until it is closed. */
static void work(int i, bool backup)
{
	std::string who = "thread " + std::to_string(i);
	IClientVirtualDevice *vd;
	VDConfig config;
	FILE *file;
	HRESULT hr;

	hr = vds->OpenDevice(device_name(name, i).c_str(), &vd);
	if (FAILED(hr))
		return fail(who, "OpenDevice", hr);
	hr = vds->GetConfiguration(INFINITE, &config);
	if (FAILED(hr))
		return fail(who, "GetConfiguration", hr);
	if (!!(config.features & VDF_WriteMedia) != backup)
		return fail(who, "the wrong direction", VD_E_INVALID);
	file = fopen(file_name(files, i).c_str(), backup ? "wb" : "rb");
	if (!file)
		return fail(who, "cannot open its file", VD_E_INVALID);
	if (!transfer(vd, file, &hr))
		fail(who, "transfer", hr);
	if (fclose(file))
		fail(who, "cannot write its file", VD_E_INVALID);
}

static void run(int count, bool backup)
{
	std::vector<std::thread> threads;
	int i;

	for (i = 0; i < count; i++)
		threads.emplace_back(work, i, backup);
	for (i = 0; i < count; i++)
		threads[i].join();
}

int main(int argc, char **argv)
{
	VDConfig config;
	HRESULT hr;
	int status;
	pid_t pid;

	if (argc != 5)
		return 2;
	files = argv[3];
	name = "mthread-" + std::to_string(getpid());
	hr = IClientVirtualDeviceSet2::CreateInstance(&vds);
	if (FAILED(hr))
		return 1;
	memset(&config, 0, sizeof(config));
	config.deviceCount = atoi(argv[2]);
	hr = vds->CreateEx(NULL, name.c_str(), &config);
	if (FAILED(hr)) {
		report("mthread", "CreateEx", vds, hr);
		vds->Release();
		return 1;
	}

	pid = start(argv[4], name);
	hr = vds->GetConfiguration(15000, &config);
	if (FAILED(hr))
		fail("mthread", "GetConfiguration", hr);
	else
		run(config.deviceCount, !strcmp(argv[1], "backup"));
	if (waitpid(pid, &status, 0) != pid || status)
		failures++;
	hr = vds->Close();
	if (FAILED(hr) && !failures) {
		report("mthread", "Close", vds, hr);
		failures++;
	}
	vds->Release();
	return failures ? 1 : 0;
}
