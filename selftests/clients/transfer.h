/* SPDX-License-Identifier: GPL-2.0 */
/*
 * transfer.h - shared by mthread and mprocess: the transfer of a device to or from one
 * file, and the execution of a statement
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include <libvdi.hpp>
#include <vdi_win.h>

/* The devices of a set are named SET, SET1, SET2, ... */
static inline std::string device_name(const std::string &set, int i)
{
	return i ? set + std::to_string(i) : set;
}

/* Device i is stored in FILES.i, or not at all if FILES is /dev/null. */
static inline std::string file_name(const std::string &files, int i)
{
	return files == "/dev/null" ? files : files + "." + std::to_string(i);
}

static inline DWORD execute(VDC_Command *cmd, FILE *file, DWORD *bytes)
{
	*bytes = 0;
	switch (cmd->commandCode) {
	case VDC_Read:
		*bytes = (DWORD)fread(cmd->buffer, 1, cmd->size, file);
		return *bytes == (DWORD)cmd->size ? ERROR_SUCCESS :
						    ERROR_HANDLE_EOF;
	case VDC_Write:
		*bytes = (DWORD)fwrite(cmd->buffer, 1, cmd->size, file);
		return *bytes == (DWORD)cmd->size ? ERROR_SUCCESS :
						    ERROR_DISK_FULL;
	case VDC_Flush:
		return fflush(file) ? ERROR_DISK_FULL : ERROR_SUCCESS;
	case VDC_ClearError:
		return ERROR_SUCCESS;
	default:
		return ERROR_NOT_SUPPORTED;
	}
}

/* Transfers until the server closes the device, then returns TRUE. */
static inline BOOL transfer(IClientVirtualDevice *vd, FILE *file, HRESULT *hr)
{
	VDC_Command *cmd;
	DWORD code, bytes;

	while (SUCCEEDED(*hr = vd->GetCommand(INFINITE, &cmd))) {
		code = execute(cmd, file, &bytes);
		*hr = vd->CompleteCommand(cmd, code, bytes, 0);
		if (FAILED(*hr))
			return FALSE;
	}
	return *hr == VD_E_CLOSE;
}

/* Starts a shell command in which %s is replaced by the set; returns the process. */
static inline pid_t start(const std::string &statement, const std::string &set)
{
	size_t at = statement.find("%s");
	std::string command = statement;
	pid_t pid;

	if (at != std::string::npos)
		command.replace(at, 2, set);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command.c_str(), (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* One write(2), because several processes share stderr. */
static inline void report(const std::string &who, const std::string &what,
			  IClientVirtualDeviceSet2 *vds, HRESULT hr)
{
	char text[512];

	vdi_client_message(vds->LibvdiHandle(), text, sizeof(text));
	std::string line = who + ": " + what + ": " + vdi_strerror(hr) + ": " +
			   text + "\n";
	if (write(2, line.data(), line.size()) < 0)
		abort();
}

#endif /* TRANSFER_H */
