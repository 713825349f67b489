/* https_wire_on.h: from here on sockets speak TLS. */
#define connect wire_connect
#define send wire_send
#define recv wire_recv
#define shutdown wire_shutdown
#define close wire_close
#define http_server_start wire_server_start
