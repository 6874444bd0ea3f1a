// SPDX-License-Identifier: GPL-2.0
/*
 * sdk_client.cpp - a backup program as it is written for the Linux SDK
 *
 * It uses vdi.h, vdierror.h and -lsqlvdi, and nothing else of this tree. It does what
 * such programs do: umask(0), objects that are never deleted, a child process for the
 * statement, a thread for each device. The statement decides about success.
 *
 *	sdk_client backup|restore DEVICES FILES STATEMENT [disk|complete]
 *
 * Device i is stored in FILES.i. In STATEMENT, %s is the name of the set. With
 * "complete" a backup succeeds only if VDC_Complete was received.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdi.h"
#include "vdierror.h"

using namespace std;

struct Stream {
	ClientVirtualDevice *vd;
	string file;
	bool backup;
	bool disk;
	int fd;
	int64_t position;	/* position of the next byte, for a pipe */
	int64_t end;		/* end of the last write */
	bool complete;		/* VDC_Complete was received */
	bool good;
};

static VDConfig config;

/* Transfers all bytes, unless the file ends or the disk is full. */
static size_t move(Stream *s, VDC_Command *cmd, int64_t position)
{
	size_t done = 0;

	while (done < (size_t)cmd->size) {
		ssize_t n;

		if (cmd->commandCode == VDC_Write)
			n = pwrite(s->fd, cmd->buffer + done, cmd->size - done,
				   position + done);
		else
			n = pread(s->fd, cmd->buffer + done, cmd->size - done,
				  position + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

static int transfer(Stream *s, VDC_Command *cmd, unsigned long *bytes)
{
	int64_t position = s->disk ? cmd->position : s->position;

	*bytes = move(s, cmd, position);
	s->position = position + *bytes;
	if (cmd->commandCode == VDC_Write)
		s->end = s->position;
	if (*bytes == (unsigned long)cmd->size)
		return ERROR_SUCCESS;
	return cmd->commandCode == VDC_Write ? ERROR_DISK_FULL :
					       ERROR_HANDLE_EOF;
}

static int seek(Stream *s, VDC_Command *cmd)
{
	struct stat st;
	int64_t from = 0;

	if (cmd->size == VDC_Current)
		from = s->position;
	if (cmd->size == VDC_End) {
		if (fstat(s->fd, &st))
			return ERROR_NOT_SUPPORTED;
		from = st.st_size;
	}
	s->position = from + cmd->position;
	return ERROR_SUCCESS;
}

/* On disk: all earlier data becomes durable, and the file is truncated here. */
static int flush(Stream *s)
{
	if (s->disk && s->backup && ftruncate(s->fd, s->end))
		return ERROR_DISK_FULL;
	return fsync(s->fd) ? ERROR_DISK_FULL : ERROR_SUCCESS;
}

static int execute(Stream *s, VDC_Command *cmd, unsigned long *bytes)
{
	*bytes = 0;
	switch (cmd->commandCode) {
	case VDC_Read:
	case VDC_Write:
		return transfer(s, cmd, bytes);
	case VDC_Complete:
		s->complete = true;
		return flush(s);
	case VDC_Flush:
		return flush(s);
	case VDC_ClearError:
		return ERROR_SUCCESS;
	case VDC_GetPosition:
		return s->disk ? ERROR_SUCCESS : ERROR_NOT_SUPPORTED;
	case VDC_SetPosition:
		return s->disk ? seek(s, cmd) : ERROR_NOT_SUPPORTED;
	default:
		return ERROR_NOT_SUPPORTED;
	}
}

static void *serve(void *argument)
{
	Stream *s = (Stream *)argument;
	unsigned long bytes;
	VDC_Command *cmd;
	int status, code;

	s->fd = open(s->file.c_str(), s->backup ? O_RDWR | O_CREAT | O_TRUNC :
						  O_RDONLY, 0666);
	if (s->fd < 0) {
		printf("cannot open %s\n", s->file.c_str());
		return NULL;
	}
	/* seconds, as in the sample of the SDK */
	while ((status = s->vd->GetCommand(90, &cmd)) == 0) {
		code = execute(s, cmd, &bytes);
		status = s->vd->CompleteCommand(cmd, code, bytes, s->position);
		if (status != 0)
			break;
	}
	s->good = status == VD_E_CLOSE &&
		  s->complete == !!(config.features & VDF_CompleteEnabled);
	if (!s->good)
		printf("unexpected end: x%X\n", status);
	close(s->fd);
	return NULL;
}

static bool open_devices(ClientVirtualDeviceSet *vds, char *name,
			 vector<Stream> &streams)
{
	size_t i;

	for (i = 0; i < streams.size(); i++) {
		string device = name;
		int status;

		if (i)
			device += to_string(i);
		status = vds->OpenDevice(&device[0], &streams[i].vd);
		if (status != 0) {
			printf("OpenDevice fails: x%X\n", status);
			return false;
		}
		streams[i].disk = config.features & VDF_RandomAccess;
	}
	return true;
}

static bool run(vector<Stream> &streams)
{
	vector<pthread_t> threads(streams.size());
	bool good = true;
	size_t i;

	if (streams.size() == 1) {
		serve(&streams[0]);
		return streams[0].good;
	}
	for (i = 0; i < streams.size(); i++)
		pthread_create(&threads[i], NULL, serve, &streams[i]);
	for (i = 0; i < streams.size(); i++) {
		pthread_join(threads[i], NULL);
		good = good && streams[i].good;
	}
	return good;
}

int main(int argc, char **argv)
{
	ClientVirtualDeviceSet *vds = new ClientVirtualDeviceSet();
	char name[64], line[1024], statement[2048];
	bool good = false;
	FILE *server;
	int status, i;

	if (argc < 5)
		return 2;
	umask(0);
	memset(&config, 0, sizeof(config));
	config.deviceCount = atoi(argv[2]);
	if (argc > 5 && strcmp(argv[5], "disk") == 0)
		config.features = VDF_LikeDisk;
	if (argc > 5 && strcmp(argv[5], "complete") == 0)
		config.features = VDF_RequestComplete;
	snprintf(name, sizeof(name), "sdk-%d", (int)getpid());
	status = vds->Create(name, &config);
	if (status != 0) {
		printf("Create fails: x%X\n", status);
		return 1;
	}

	vector<Stream> streams(config.deviceCount);
	for (i = 0; i < (int)config.deviceCount; i++) {
		streams[i] = Stream();
		streams[i].file = string(argv[3]) + "." + to_string(i);
		streams[i].backup = strcmp(argv[1], "backup") == 0;
	}
	snprintf(statement, sizeof(statement), argv[4], name);
	server = popen(statement, "r");
	if (!server)
		return 1;
	status = vds->GetConfiguration(10000, &config);
	if (status != 0)
		printf("GetConfiguration fails: x%X\n", status);
	else if (streams[0].backup && config.features & VDF_RequestComplete &&
		 !(config.features & VDF_CompleteEnabled))
		printf("the server is too old\n");
	else if (open_devices(vds, name, streams))
		good = run(streams);
	status = vds->Close();
	if (good && status != 0)
		printf("Close fails: x%X\n", status);
	while (fgets(line, sizeof(line), server))
		printf("%s", line);
	if (pclose(server) != 0 || status != 0)
		good = false;
	printf("%s\n", good ? "good" : "failed");
	return good ? 0 : 1;
}
