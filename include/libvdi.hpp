/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvdi.hpp - the four interfaces of the VDI, and an observer, in C++
 *
 * Methods have the names, the order of arguments and the results that they have
 * on Windows; names of sets and devices are UTF-8. The following replaces COM:
 *
 *   CreateInstance()  instead of CoCreateInstance(); NOERROR or VD_E_MEMORY
 *   AddRef, Release   the last Release() closes what is open, and frees the object
 *
 * Devices belong to the object of their set. The reference that OpenDevice()
 * returns may be released, as COM requires, or not. A device exists until the
 * object of its set opens or creates another set, or is freed; after AddRef()
 * both exist until the last Release(). After Close() of the set each call
 * returns VD_E_PROTOCOL. The last Release() of a server's set must not come
 * from a completion routine.
 *
 * Time-outs are milliseconds, 0xffffffff waits without limit. libvdi.h
 * documents, for the C function of each method, what it returns and which
 * threads may call it. For what is not in the Windows interface (messages,
 * abort information, descriptors) LibvdiHandle() returns the C object:
 *
 *	vdi_client_message(set->LibvdiHandle(), text, sizeof(text));
 *
 * Header only; link with -lvdi.
 */
#ifndef LIBVDI_HPP
#define LIBVDI_HPP

#include <atomic>
#include <mutex>
#include <new>

#include <stddef.h>
#include <stdint.h>

#include <libvdi.h>

namespace libvdi_detail {

inline int64_t timeout_ms(uint32_t timeout)
{
	return timeout == 0xffffffffU ? -1 : (int64_t)timeout;
}

/* The devices of a set's object, which owns them. */
template <class Device> class Devices {
public:
	Devices() : first(NULL)
	{
	}

	~Devices()
	{
		while (first) {
			Device *device = first;

			first = device->next;
			delete device;
		}
	}

	void add(Device *device)
	{
		std::lock_guard<std::mutex> guard(lock);

		device->next = first;
		first = device;
	}

	/*
	 * Another set was opened: the C objects are freed with its first
	 * device.
	 */
	void forget()
	{
		std::lock_guard<std::mutex> guard(lock);
		Device **at = &first;

		while (*at) {
			Device *device = *at;

			device->handle.store(NULL);
			if (device->held()) {
				at = &device->next;
				continue;
			}
			*at = device->next;
			delete device;
		}
	}

private:
	std::mutex lock;
	Device *first;

	Devices(const Devices &);
	Devices &operator=(const Devices &);
};

/*
 * OpenDevice() returns a reference, which need not be released: the set's
 * object owns the device. From the first AddRef() until the last Release(), the
 * device holds a reference to the set.
 */
template <class Device, class Set, class Handle> class DeviceBase {
public:
	uint32_t AddRef()
	{
		std::lock_guard<std::mutex> guard(lock);

		if (!counted) {
			set->AddRef();
			counted = true;
		}
		return ++refs;
	}

	/* An extra Release() is harmless while the set's object exists. */
	uint32_t Release()
	{
		bool last;
		uint32_t n;

		{
			std::lock_guard<std::mutex> guard(lock);

			if (refs)
				refs--;
			n = refs;
			last = !n && counted;
			if (last)
				counted = false;
		}
		if (last)
			set->Release();	/* this object may be freed now */
		return n;
	}

	/* The C object; NULL if another set was opened. */
	Handle *LibvdiHandle() const
	{
		return handle.load();
	}

protected:
	DeviceBase(Set *set_, Handle *handle_) :
		set(set_), handle(handle_), refs(1), counted(false), next(NULL)
	{
	}

	~DeviceBase()
	{
	}

	Set *set;
	std::atomic<Handle *> handle;
	std::mutex lock;		/* the next two */
	uint32_t refs;
	bool counted;
	Device *next;

private:
	friend class Devices<Device>;

	bool held()
	{
		std::lock_guard<std::mutex> guard(lock);

		return counted;
	}

	DeviceBase(const DeviceBase &);
	DeviceBase &operator=(const DeviceBase &);
};

} /* namespace libvdi_detail */

class IClientVirtualDeviceSet2;
class IServerVirtualDeviceSet2;

/* ----------------------------------------------------------------- client */

class IClientVirtualDevice final :
	public libvdi_detail::DeviceBase<IClientVirtualDevice,
					 IClientVirtualDeviceSet2,
					 struct vdi_client_device> {
public:
	int GetCommand(uint32_t timeout, VDC_Command **cmd)
	{
		struct vdi_client_device *device = handle.load();

		if (device)
			return vdi_client_get_command(device,
				libvdi_detail::timeout_ms(timeout), cmd);
		if (cmd)
			*cmd = NULL;
		return VD_E_PROTOCOL;
	}

	int CompleteCommand(VDC_Command *cmd, uint32_t completionCode,
			    uint32_t bytesTransferred, uint64_t position)
	{
		struct vdi_client_device *device = handle.load();

		if (!device)
			return VD_E_PROTOCOL;
		return vdi_client_complete_command(device, cmd,
				(int)completionCode, bytesTransferred,
				(int64_t)position);
	}

	/*
	 * Extensions: vdi_client_device_outcome(), vdi_client_expected_bytes(),
	 * vdi_client_device_name().
	 */
	int GetOutcome()
	{
		struct vdi_client_device *device = handle.load();

		if (!device)
			return VD_E_PROTOCOL;
		return vdi_client_device_outcome(device);
	}

	int GetExpectedBytes(uint64_t *bytes)
	{
		struct vdi_client_device *device = handle.load();

		return device ? vdi_client_expected_bytes(device, bytes) :
				VD_E_PROTOCOL;
	}

	const char *GetName() const
	{
		return vdi_client_device_name(handle.load());
	}

private:
	friend class IClientVirtualDeviceSet2;
	friend class libvdi_detail::Devices<IClientVirtualDevice>;

	IClientVirtualDevice(IClientVirtualDeviceSet2 *owner,
			     struct vdi_client_device *device) :
		DeviceBase(owner, device)
	{
	}

	~IClientVirtualDevice()
	{
	}
};

class IClientVirtualDeviceSet2 final {
public:
	static int CreateInstance(IClientVirtualDeviceSet2 **out)
	{
		struct vdi_client *client;
		int code;

		if (!out)
			return VD_E_INVALID;
		*out = NULL;
		code = vdi_client_new(&client);
		if (code)
			return code;
		*out = new (std::nothrow) IClientVirtualDeviceSet2(client);
		if (*out)
			return NOERROR;
		vdi_client_free(client);
		return VD_E_MEMORY;
	}

	uint32_t AddRef()
	{
		return refs.fetch_add(1) + 1;
	}

	uint32_t Release()
	{
		uint32_t left = refs.fetch_sub(1) - 1;

		if (!left)
			delete this;
		return left;
	}

	/* access is an extension: see struct vdi_access */
	int CreateEx(const char *instance, const char *name,
		     const VDConfig *cfg, const struct vdi_access *access = NULL)
	{
		if (vdi_client_fd(client) < 0)
			devices.forget();
		return vdi_client_create(client, instance, name, cfg, access);
	}

	/* Deprecated: CreateEx for the instance of _VIRTUAL_SERVER_NAME_. */
	int Create(const char *name, const VDConfig *cfg)
	{
		return CreateEx(vdi_default_instance(), name, cfg);
	}

	int GetConfiguration(uint32_t timeout, VDConfig *cfg)
	{
		return vdi_client_get_configuration(client,
				libvdi_detail::timeout_ms(timeout), cfg);
	}

	/* Extension: vdi_client_outcome(): is this a whole backup, or restore? */
	int GetOutcome()
	{
		return vdi_client_outcome(client);
	}

	/* Extension: vdi_client_get_device_name() */
	int GetDeviceName(unsigned int index, char *buf, size_t size)
	{
		return vdi_client_get_device_name(client, index, buf, size);
	}

	/* name NULL opens the next device, an extension */
	int OpenDevice(const char *name, IClientVirtualDevice **out)
	{
		struct vdi_client_device *handle;
		int code;

		if (!out)
			return VD_E_INVALID;
		*out = NULL;
		code = vdi_client_open_device(client, name, &handle);
		if (code)
			return code;
		*out = new (std::nothrow) IClientVirtualDevice(this, handle);
		if (*out) {
			devices.add(*out);
			return NOERROR;
		}
		/*
		 * opening cannot be undone, and no other process can serve it
		 */
		vdi_client_signal_abort(client, 0, "no memory for a device");
		return VD_E_MEMORY;
	}

	int Close()
	{
		return vdi_client_close(client);
	}

	int SignalAbort()
	{
		return vdi_client_signal_abort(client, 0, NULL);
	}

	/* An extension; for all devices together, 0 = no limit */
	int SetRate(uint64_t bytesPerSecond)
	{
		return vdi_client_set_rate(client, bytesPerSecond);
	}

	int OpenInSecondaryEx(const char *instance, const char *setName)
	{
		if (vdi_client_fd(client) < 0)
			devices.forget();
		return vdi_client_open_in_secondary(client, instance, setName);
	}

	/* Deprecated, as Create. */
	int OpenInSecondary(const char *setName)
	{
		return OpenInSecondaryEx(vdi_default_instance(), setName);
	}

	/* Extensions: users whose sets are joined by name, and the peer. */
	int SetTrustedUsers(const uid_t *users, unsigned int count)
	{
		return vdi_client_set_trusted_users(client, users, count);
	}

	int GetPeer(vdi_peer *server)
	{
		return vdi_client_get_peer(client, server);
	}

	int GetCreator(uid_t *creator)
	{
		return vdi_client_get_creator(client, creator);
	}

	int GetBufferHandle(const uint8_t *buffer, uint32_t *handle)
	{
		return vdi_client_get_buffer_handle(client, buffer, handle);
	}

	int MapBufferHandle(uint32_t handle, uint8_t **buffer)
	{
		return vdi_client_map_buffer_handle(client, handle, buffer);
	}

	struct vdi_client *LibvdiHandle() const
	{
		return client;
	}

private:
	struct vdi_client *client;
	std::atomic<uint32_t> refs;
	libvdi_detail::Devices<IClientVirtualDevice> devices;

	explicit IClientVirtualDeviceSet2(struct vdi_client *client_) :
		client(client_), refs(1)
	{
	}

	~IClientVirtualDeviceSet2()
	{
		vdi_client_free(client);
	}

	IClientVirtualDeviceSet2(const IClientVirtualDeviceSet2 &);
	IClientVirtualDeviceSet2 &operator=(const IClientVirtualDeviceSet2 &);
};

/* ----------------------------------------------------------------- server */

class IServerVirtualDevice final :
	public libvdi_detail::DeviceBase<IServerVirtualDevice,
					 IServerVirtualDeviceSet2,
					 struct vdi_server_device> {
public:
	/*
	 * completionRoutine and completionContext are in the command. The
	 * routine runs in every case but VD_E_INVALID.
	 */
	int SendCommand(VDS_Command *cmd)
	{
		struct vdi_server_device *device = handle.load();

		if (device)
			return vdi_server_send_command(device, cmd);
		if (!cmd || !cmd->completionRoutine)
			return VD_E_INVALID;
		cmd->completionCode = ERROR_INVALID_HANDLE;
		cmd->bytesTransferred = 0;
		cmd->outPosition = 0;
		cmd->completionRoutine(cmd);
		return VD_E_PROTOCOL;
	}

	int CloseDevice()
	{
		struct vdi_server_device *device = handle.load();

		return device ? vdi_server_close_device(device) : VD_E_PROTOCOL;
	}

	/* An extension: vdi_server_set_expected_bytes(). */
	int SetExpectedBytes(uint64_t bytes)
	{
		struct vdi_server_device *device = handle.load();

		return device ? vdi_server_set_expected_bytes(device, bytes) :
				VD_E_PROTOCOL;
	}

private:
	friend class IServerVirtualDeviceSet2;
	friend class libvdi_detail::Devices<IServerVirtualDevice>;

	IServerVirtualDevice(IServerVirtualDeviceSet2 *owner,
			     struct vdi_server_device *device) :
		DeviceBase(owner, device)
	{
	}

	~IServerVirtualDevice()
	{
	}
};

class IServerVirtualDeviceSet2 final {
public:
	static int CreateInstance(IServerVirtualDeviceSet2 **out)
	{
		struct vdi_server *server;
		int code;

		if (!out)
			return VD_E_INVALID;
		*out = NULL;
		code = vdi_server_new(&server);
		if (code)
			return code;
		*out = new (std::nothrow) IServerVirtualDeviceSet2(server);
		if (*out)
			return NOERROR;
		vdi_server_free(server);
		return VD_E_MEMORY;
	}

	uint32_t AddRef()
	{
		return refs.fetch_add(1) + 1;
	}

	uint32_t Release()
	{
		uint32_t left = refs.fetch_sub(1) - 1;

		if (!left)
			delete this;
		return left;
	}

	int Open(const char *instance, const char *name)
	{
		if (vdi_server_fd(server) < 0)
			devices.forget();
		return vdi_server_open(server, instance, name);
	}

	/* Extensions: users whose sets Open() joins, and the peer. */
	int SetTrustedUsers(const uid_t *users, unsigned int count)
	{
		return vdi_server_set_trusted_users(server, users, count);
	}

	int GetPeer(vdi_peer *primary)
	{
		return vdi_server_get_peer(server, primary);
	}

	int GetCreator(uid_t *creator)
	{
		return vdi_server_get_creator(server, creator);
	}

	int GetConfiguration(VDConfig *cfg)
	{
		return vdi_server_get_configuration(server, cfg);
	}

	int BeginConfiguration(uint32_t features, uint32_t blockSize,
			       uint32_t alignment, uint32_t maxTransferSize,
			       uint32_t timeout)
	{
		return vdi_server_begin_configuration(server, features,
				blockSize, alignment, maxTransferSize,
				libvdi_detail::timeout_ms(timeout));
	}

	int RequestBuffers(uint32_t size, uint32_t alignment, uint32_t count)
	{
		return vdi_server_request_buffers(server, size, alignment,
						  count);
	}

	int QueryAvailableBuffers(uint32_t size, uint32_t alignment,
				  uint32_t *count)
	{
		return vdi_server_query_available_buffers(server, size,
							  alignment, count);
	}

	int EndConfiguration()
	{
		return vdi_server_end_configuration(server);
	}

	int ExecuteCompletionAgent()
	{
		return vdi_server_execute_completion_agent(server);
	}

	/* name NULL opens the next device, an extension */
	int OpenDevice(const char *name, IServerVirtualDevice **out)
	{
		struct vdi_server_device *handle;
		int code;

		if (!out)
			return VD_E_INVALID;
		*out = NULL;
		code = vdi_server_open_device(server, name, &handle);
		if (code)
			return code;
		*out = new (std::nothrow) IServerVirtualDevice(this, handle);
		if (*out) {
			devices.add(*out);
			return NOERROR;
		}
		vdi_server_signal_abort(server, 0, "no memory for a device");
		return VD_E_MEMORY;
	}

	int AllocateBuffer(uint8_t **buffer, uint32_t size, uint32_t alignment)
	{
		return vdi_server_allocate_buffer(server, buffer, size,
						  alignment);
	}

	int FreeBuffer(uint8_t *buffer, uint32_t size)
	{
		return vdi_server_free_buffer(server, buffer, size);
	}

	/* returns 1 or 0, not a code of vdierror.h */
	int IsSharedBuffer(const uint8_t *buffer)
	{
		return vdi_server_is_shared_buffer(server, buffer);
	}

	int SignalAbort()
	{
		return vdi_server_signal_abort(server, 0, NULL);
	}

	/* An extension; for all devices together, 0 = no limit */
	int SetRate(uint64_t bytesPerSecond)
	{
		return vdi_server_set_rate(server, bytesPerSecond);
	}

	int Close()
	{
		return vdi_server_close(server);
	}

	struct vdi_server *LibvdiHandle() const
	{
		return server;
	}

private:
	struct vdi_server *server;
	std::atomic<uint32_t> refs;
	libvdi_detail::Devices<IServerVirtualDevice> devices;

	explicit IServerVirtualDeviceSet2(struct vdi_server *server_) :
		server(server_), refs(1)
	{
	}

	~IServerVirtualDeviceSet2()
	{
		vdi_server_free(server);
	}

	IServerVirtualDeviceSet2(const IServerVirtualDeviceSet2 &);
	IServerVirtualDeviceSet2 &operator=(const IServerVirtualDeviceSet2 &);
};

/*
 * Lists, inspects and aborts sets of other processes: vdi_observer(3). Not in
 * the Windows interface; the methods return what their C functions return.
 */
class VirtualDeviceObserver final {
public:
	static int CreateInstance(VirtualDeviceObserver **out)
	{
		struct vdi_observer *observer;
		int code;

		if (!out)
			return VD_E_INVALID;
		*out = NULL;
		code = vdi_observer_new(&observer);
		if (code)
			return code;
		*out = new (std::nothrow) VirtualDeviceObserver(observer);
		if (*out)
			return NOERROR;
		vdi_observer_free(observer);
		return VD_E_MEMORY;
	}

	uint32_t AddRef()
	{
		return ++refs;
	}

	uint32_t Release()
	{
		uint32_t n = --refs;

		if (!n)
			delete this;
		return n;
	}

	/* The set after that of entry->id, 0 = the first; VD_E_CLOSE at the end */
	int Next(struct vdi_set_entry *entry)
	{
		return vdi_observer_next(observer, entry);
	}

	/* NAME or USER:NAME; *count may be more than max */
	int Find(const char *name, struct vdi_set_entry *sets, unsigned int max,
		 unsigned int *count)
	{
		return vdi_observer_find(observer, name, sets, max, count);
	}

	int GetStatus(uint64_t id, struct vdi_set_status *status,
		      struct vdi_device_status *devices = NULL,
		      unsigned int max = 0)
	{
		return vdi_observer_status(observer, id, status, devices, max);
	}

	int Abort(uint64_t id, uint32_t code = 0, const char *text = NULL)
	{
		return vdi_observer_abort(observer, id, code, text);
	}

	int SetRate(uint64_t id, uint64_t bytesPerSecond)
	{
		return vdi_observer_set_rate(observer, id, bytesPerSecond);
	}

	int GetInfo(struct vdi_module_info *info)
	{
		return vdi_observer_info(observer, info);
	}

	struct vdi_observer *LibvdiHandle() const
	{
		return observer;
	}

private:
	struct vdi_observer *observer;
	std::atomic<uint32_t> refs;

	explicit VirtualDeviceObserver(struct vdi_observer *observer_) :
		observer(observer_), refs(1)
	{
	}

	~VirtualDeviceObserver()
	{
		vdi_observer_free(observer);
	}

	VirtualDeviceObserver(const VirtualDeviceObserver &);
	VirtualDeviceObserver &operator=(const VirtualDeviceObserver &);
};

#endif /* LIBVDI_HPP */
