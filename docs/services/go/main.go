// An HTTP service in Go that is restarted without losing a request. Standard library only.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow/200" {
		time.Sleep(200 * time.Millisecond)
		fmt.Fprint(w, "done")
		return
	}
	fmt.Fprint(w, "ok")
}

func main() {
	var draining atomic.Bool
	server := &http.Server{IdleTimeout: 75 * time.Second}
	server.Handler = lastAnswers(&draining, http.HandlerFunc(answer))
	listener, err := listen("http")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tell("READY=1")

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR2)
	idle, whole := 250*time.Millisecond, span("SUPERVISOR_STOP_TIMEOUT_MS")
	select {
	case err := <-served:
		log.Fatal(err)
	case got := <-signals:
		if got == syscall.SIGUSR2 { // a successor serves
			whole = span("SUPERVISOR_DRAIN_TIMEOUT_MS")
			idle = shorter(5*time.Second, whole/2)
		}
	}
	deadline, cancel := context.WithTimeout(context.Background(), whole)
	defer cancel()
	draining.Store(true)
	// Not Shutdown yet, nor SetKeepAlivesEnabled(false): both close idle connections at once, and with them requests
	// that are on the wire.
	listener.Close()
	time.Sleep(idle)
	if err := server.Shutdown(deadline); err != nil && !errors.Is(err, net.ErrClosed) {
		log.Print(err)
	}
}

// lastAnswers makes every answer the last of its connection once we drain.
func lastAnswers(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// listen takes the inherited listener of that name, else binds PORT.
func listen(name string) (net.Listener, error) {
	for at, found := range strings.Split(os.Getenv("LISTEN_FDNAMES"), ":") {
		if found == name {
			return net.FileListener(os.NewFile(uintptr(3+at), name))
		}
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "8009"
	}
	return net.Listen("tcp", "127.0.0.1:"+port)
}

// tell tells the supervisor, as sd_notify does.
func tell(message string) {
	if address := os.Getenv("NOTIFY_SOCKET"); address != "" {
		if conn, err := net.Dial("unixgram", address); err == nil {
			conn.Write([]byte(message))
			conn.Close()
		}
	}
}

func span(name string) time.Duration {
	ms, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		ms = 10000
	}
	return time.Duration(ms)*time.Millisecond - time.Second
}

func shorter(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}
