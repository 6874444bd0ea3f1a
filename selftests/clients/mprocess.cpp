// SPDX-License-Identifier: GPL-2.0
/*
 * mprocess.cpp - a client of several devices with one process each, as ported from
 * Windows
 *
 *	mprocess backup|restore DEVICES FILES STATEMENT
 *	mprocess secondary DEVICE FILES SET	started by the primary
 *
 * The primary prints the process of each secondary on standard output. Every process
 * prints the reason of its failure on standard error.
 */
#include <cstring>
#include <vector>

#include "transfer.h"

/* -------------------------------------------------------------- secondary */

static bool failed(IClientVirtualDeviceSet2 *vds, const std::string &who,
		   const char *what, HRESULT hr)
{
	report(who, what, vds, hr);
	vds->SignalAbort();
	return false;
}

static bool work(IClientVirtualDeviceSet2 *vds, const std::string &who, int i,
		 const std::string &files, const std::string &set)
{
	IClientVirtualDevice *vd;
	VDConfig config;
	FILE *file;
	HRESULT hr;
	BOOL good;

	hr = vds->OpenInSecondaryEx(NULL, set.c_str());
	if (FAILED(hr))
		return failed(vds, who, "OpenInSecondaryEx", hr);
	hr = vds->OpenDevice(device_name(set, i).c_str(), &vd);
	if (FAILED(hr))
		return failed(vds, who, "OpenDevice", hr);
	hr = vds->GetConfiguration(INFINITE, &config);
	if (FAILED(hr))
		return failed(vds, who, "GetConfiguration", hr);
	file = fopen(file_name(files, i).c_str(),
		     config.features & VDF_WriteMedia ? "wb" : "rb");
	if (!file)
		return failed(vds, who, "cannot open its file", VD_E_INVALID);
	good = transfer(vd, file, &hr);
	if (!good)
		failed(vds, who, "transfer", hr);
	if (fclose(file))
		return failed(vds, who, "cannot write its file", VD_E_INVALID);
	return good;
}

static int secondary(int i, const char *files, const char *set)
{
	std::string who = "secondary " + std::to_string(i);
	IClientVirtualDeviceSet2 *vds;
	bool good;
	HRESULT hr;

	hr = IClientVirtualDeviceSet2::CreateInstance(&vds);
	if (FAILED(hr))
		return 1;
	good = work(vds, who, i, files, set);
	hr = vds->Close();
	if (good && FAILED(hr)) {
		report(who, "Close", vds, hr);
		good = false;
	}
	vds->Release();
	return good ? 0 : 1;
}

/* ---------------------------------------------------------------- primary */

static bool start_secondaries(const char *program, int count,
			      const char *files, const std::string &set)
{
	int i;

	for (i = 0; i < count; i++) {
		std::string index = std::to_string(i);
		pid_t pid = fork();

		if (pid == 0) {
			execl(program, program, "secondary", index.c_str(),
			      files, set.c_str(), (char *)NULL);
			_exit(127);
		}
		if (pid < 0)
			return false;
		printf("secondary %d is process %d\n", i, (int)pid);
	}
	return !fflush(stdout);
}

/* The first failure of a child is that of the set. */
static bool wait_for_all(IClientVirtualDeviceSet2 *vds)
{
	bool good = true;
	VDConfig config;
	int status;
	HRESULT hr;

	while (wait(&status) > 0) {
		if (!status)
			continue;
		hr = vds->GetConfiguration(0, &config);
		if (good && FAILED(hr))
			report("primary", "a child failed", vds, hr);
		vds->SignalAbort();
		good = false;
	}
	return good;
}

static int primary(const char *program, int count, const char *files,
		   const char *statement)
{
	std::string set = "mprocess-" + std::to_string(getpid());
	IClientVirtualDeviceSet2 *vds;
	VDConfig config;
	bool good;
	HRESULT hr;

	hr = IClientVirtualDeviceSet2::CreateInstance(&vds);
	if (FAILED(hr))
		return 1;
	memset(&config, 0, sizeof(config));
	config.deviceCount = count;
	hr = vds->CreateEx(NULL, set.c_str(), &config);
	if (FAILED(hr)) {
		report("primary", "CreateEx", vds, hr);
		vds->Release();
		return 1;
	}
	start(statement, set);
	hr = vds->GetConfiguration(15000, &config);
	good = SUCCEEDED(hr) && start_secondaries(program, count,
						  files, set);
	if (!good) {
		report("primary", "GetConfiguration", vds, hr);
		vds->SignalAbort();
	}
	good = wait_for_all(vds) && good;
	hr = vds->Close();
	if (good && FAILED(hr)) {
		report("primary", "Close", vds, hr);
		good = false;
	}
	vds->Release();
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	if (!strcmp(argv[1], "secondary"))
		return secondary(atoi(argv[2]), argv[3], argv[4]);
	return primary(argv[0], atoi(argv[2]), argv[3], argv[4]);
}
