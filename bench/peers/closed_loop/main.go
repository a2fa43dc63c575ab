// One client for every server of the bench: so many callers, each with a connection of its own, each sends its next request when it has
// the answer to the last. Requests come ready made from a file (length as 4 bytes little-endian, then the bytes) and are sent in turn;
// the last answer to each is written to another, for whoever compares them.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Frames passes messages as they are: what is measured is the server, not this program's protobuf.
type Frames struct{}

func (Frames) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }
func (Frames) Unmarshal(raw []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), raw...)
	return nil
}
func (Frames) Name() string { return "proto" }

type call func(request []byte) ([]byte, error)

func overGrpc(address, method string) (call, error) {
	channel, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return func(request []byte) ([]byte, error) {
		var answer []byte
		err := channel.Invoke(context.Background(), method, &request, &answer, grpc.ForceCodec(Frames{}))
		return answer, err
	}, nil
}

func overHttp(address, path string) (call, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	return func(request []byte) ([]byte, error) {
		response, err := client.Post("http://"+address+path, "application/octet-stream", bytes.NewReader(request))
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != 200 {
			err = fmt.Errorf("status %d: %.200s", response.StatusCode, answer)
		}
		return answer, err
	}, nil
}

func main() {
	transport := flag.String("transport", "grpc", "grpc or http")
	address := flag.String("address", "", "HOST:PORT")
	path := flag.String("path", "", "the gRPC method or the HTTP path")
	requestsFile := flag.String("requests", "", "file of requests")
	answersFile := flag.String("answers", "", "file for the last answer to each")
	callers := flag.Int("callers", 1, "requests under way at once")
	warm := flag.Duration("warm", time.Second, "before counting")
	length := flag.Duration("time", 3*time.Second, "counted")
	flag.Parse()

	requests := read(*requestsFile)
	answers := make([][]byte, len(requests))
	dial := map[string]func(string, string) (call, error){"grpc": overGrpc, "http": overHttp}[*transport]
	begin := time.Now().Add(*warm)
	end := begin.Add(*length)
	var next int64
	var lock sync.Mutex
	var together sync.WaitGroup
	var took []float64
	for i := 0; i < *callers; i++ {
		send, err := dial(*address, *path)
		check(err)
		together.Add(1)
		go func() {
			defer together.Done()
			var mine []float64
			for {
				number := int(atomic.AddInt64(&next, 1)) % len(requests)
				sent := time.Now()
				answer, err := send(requests[number])
				check(err)
				now := time.Now()
				if now.After(end) {
					break
				}
				if sent.After(begin) {
					mine = append(mine, float64(now.Sub(sent).Microseconds()))
				}
				lock.Lock()
				answers[number] = answer
				lock.Unlock()
			}
			lock.Lock()
			took = append(took, mine...)
			lock.Unlock()
		}()
	}
	together.Wait()
	write(*answersFile, answers)
	sort.Float64s(took)
	if len(took) == 0 {
		check(fmt.Errorf("no request was answered in the counted time"))
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"requests": float64(len(took)), "seconds": length.Seconds(),
		"p50_us": took[len(took)/2], "p99_us": took[len(took)*99/100],
	}))
}

func read(name string) (found [][]byte) {
	raw, err := os.ReadFile(name)
	check(err)
	for len(raw) > 0 {
		size := binary.LittleEndian.Uint32(raw)
		found = append(found, raw[4:4+size])
		raw = raw[4+size:]
	}
	return found
}

func write(name string, parts [][]byte) {
	var raw []byte
	for _, part := range parts {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(part)))
		raw = append(raw, part...)
	}
	check(os.WriteFile(name, raw, 0o644))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
