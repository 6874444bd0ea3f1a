/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdi_win.h - names of Windows that ported programs need
 *
 * No other header of this library defines these. The types are those of
 * unixODBC, so that both can be included. There is no COM: remove
 * CoInitializeEx() and replace CoCreateInstance() by CreateInstance(), see
 * libvdi.hpp. Names are UTF-8.
 */
#ifndef VDI_WIN_H
#define VDI_WIN_H

#include <stdint.h>

typedef int HRESULT;
typedef int BOOL;
typedef uint8_t BYTE;
typedef uint32_t DWORD;
typedef uint64_t DWORDLONG;

#ifndef SUCCEEDED
#define SUCCEEDED(code)	((HRESULT)(code) >= 0)
#endif
#ifndef FAILED
#define FAILED(code)	((HRESULT)(code) < 0)
#endif
#ifndef S_OK
#define S_OK		0
#endif
#ifndef NOERROR
#define NOERROR		0
#endif
#ifndef TRUE
#define TRUE		1
#endif
#ifndef FALSE
#define FALSE		0
#endif
#ifndef INFINITE
#define INFINITE	0xffffffffU	/* milliseconds: for ever */
#endif

#endif /* VDI_WIN_H */
