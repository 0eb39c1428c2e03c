// Go's net/http doing one run, for comparison: the same task and the same report as client.ts.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type task struct {
	Origin  string `json:"origin"`
	CA      string `json:"ca"`
	Path    string `json:"path"`
	Answer  string `json:"answer"`
	Method  string `json:"method"`
	Calls   int    `json:"calls"`
	Callers int    `json:"callers"`
	Within  int    `json:"within"`
}

type failure struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type report struct {
	OK        int       `json:"ok"`
	Failures  []failure `json:"failures"`
	Unsettled []string  `json:"unsettled"`
	Slowest   int64     `json:"slowest"`
	Took      int64     `json:"took"`
	Protocol  string    `json:"protocol"`
}

func call(ctx context.Context, client *http.Client, t task, id string) (string, error) {
	var body io.Reader
	if t.Method == "POST" {
		body = strings.NewReader(id)
	}
	request, err := http.NewRequestWithContext(ctx, t.Method, t.Origin+t.Path+id, body)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	want := t.Answer
	if want == "" {
		want = id
	}
	if response.StatusCode != 200 || string(got) != want {
		return "", fmt.Errorf("status %d, body %.40q", response.StatusCode, got)
	}
	return response.Proto, nil
}

func main() {
	var t task
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(t.CA))
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
	}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(t.Within)*time.Millisecond)
	defer cancel()

	result := report{Failures: []failure{}, Unsettled: []string{}}
	var issued atomic.Int64
	var lock sync.Mutex
	var callers sync.WaitGroup
	started := time.Now()
	for range t.Callers {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for {
				n := issued.Add(1)
				if n > int64(t.Calls) {
					return
				}
				id := fmt.Sprintf("call-%d", n)
				begun := time.Now()
				protocol, err := call(ctx, client, t, id)
				lasted := time.Since(begun).Milliseconds()
				lock.Lock()
				result.Slowest = max(result.Slowest, lasted)
				if err == nil {
					result.OK++
					result.Protocol = protocol
				} else if ctx.Err() != nil {
					result.Unsettled = append(result.Unsettled, id)
				} else {
					result.Failures = append(result.Failures, failure{id, "", err.Error()})
				}
				lock.Unlock()
			}
		}()
	}
	callers.Wait()
	result.Took = time.Since(started).Milliseconds()
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}
