// Go's net/http as a server over TLS that counts what it gets, and goes down and comes back on the same port while it is
// in use: gracefully, with GOAWAY, or by dropping every connection.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// One port for all servers that follow each other: none closes it.
type port struct {
	net.Listener
	connections chan net.Conn
}

// What one server sees of the port.
type share struct {
	*port
	closed chan struct{}
	once   sync.Once
}

func (s *share) Accept() (net.Conn, error) {
	select {
	case connection := <-s.connections:
		return connection, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *share) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func main() {
	cert := flag.String("cert", "", "certificate file")
	key := flag.String("key", "", "key file")
	every := flag.Int("every", 0, "goes down after each so many requests; 0: never")
	hard := flag.Bool("hard", false, "drops the connections where it goes down")
	flag.Parse()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	shared := &port{listener, make(chan net.Conn)}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			shared.connections <- connection
		}
	}()

	var lock sync.Mutex
	seen := map[string]int{}
	total, restarts := 0, 0
	due := make(chan struct{}, 1000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strings.TrimPrefix(r.URL.Path, "/")
		lock.Lock()
		seen[id]++
		total++
		if *every > 0 && total%*every == 0 {
			restarts++
			due <- struct{}{}
		}
		lock.Unlock()
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, id)
	})
	serve := func() *http.Server {
		server := &http.Server{Handler: handler}
		go server.ServeTLS(&share{port: shared, closed: make(chan struct{})}, *cert, *key)
		return server
	}
	server := serve()
	go func() {
		for range due {
			old := server
			server = serve()
			if *hard {
				old.Close()
				continue
			}
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				old.Shutdown(ctx)
			}()
		}
	}()

	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	io.Copy(io.Discard, os.Stdin)
	lock.Lock()
	defer lock.Unlock()
	json.NewEncoder(os.Stdout).Encode(map[string]any{"seen": seen, "restarts": restarts})
}
