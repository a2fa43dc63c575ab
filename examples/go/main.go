// Hides the digits of a text: an operator in Go. `mask [PORT]`.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "mask/inference"
)

const model = "mask"
const messageBytesMax = 64 << 20 // a batch of rows is soon more than gRPC's 4 MB

func answer(row []byte) []byte {
	masked := append([]byte{}, row...)
	for i, c := range masked {
		if '0' <= c && c <= '9' {
			masked[i] = '#'
		}
	}
	return masked
}

type operator struct {
	pb.UnimplementedGRPCInferenceServiceServer
}

func (operator) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: true}, nil
}

func (operator) ServerReady(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: true}, nil
}

func (operator) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	return &pb.ServerMetadataResponse{Name: "mask", Version: "1"}, nil
}

func (operator) ModelReady(_ context.Context, request *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	return &pb.ModelReadyResponse{Ready: request.Name == model}, nil
}

func (operator) ModelMetadata(_ context.Context, request *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	if request.Name != model {
		return nil, status.Errorf(codes.NotFound, "no model %s", request.Name)
	}
	tensor := func(name string) []*pb.ModelMetadataResponse_TensorMetadata {
		return []*pb.ModelMetadataResponse_TensorMetadata{{Name: name, Datatype: "BYTES", Shape: []int64{-1}}}
	}
	return &pb.ModelMetadataResponse{Name: model, Versions: []string{"1"}, Inputs: tensor("text"), Outputs: tensor("masked")}, nil
}

func (operator) ModelInfer(_ context.Context, request *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	if request.ModelName != model {
		return nil, status.Errorf(codes.NotFound, "no model %s", request.ModelName)
	}
	rows, err := rowsOf(request)
	if err != nil { // the request's fault: with another code the same rows would come again
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	var raw []byte
	for _, row := range rows {
		masked := answer(row)
		raw = append(binary.LittleEndian.AppendUint32(raw, uint32(len(masked))), masked...)
	}
	output := &pb.ModelInferResponse_InferOutputTensor{Name: "masked", Datatype: "BYTES", Shape: []int64{int64(len(rows))}}
	return &pb.ModelInferResponse{ModelName: model, ModelVersion: "1", Id: request.Id,
		Outputs: []*pb.ModelInferResponse_InferOutputTensor{output}, RawOutputContents: [][]byte{raw}}, nil
}

// rowsOf the one input; an error where it is not what the metadata says.
func rowsOf(request *pb.ModelInferRequest) ([][]byte, error) {
	if len(request.Inputs) != 1 || request.Inputs[0].Name != "text" || request.Inputs[0].Datatype != "BYTES" || len(request.Inputs[0].Shape) != 1 {
		return nil, fmt.Errorf("send one input, text, BYTES of shape [rows]")
	}
	rows := request.Inputs[0].Contents.GetBytesContents()
	if len(request.RawInputContents) > 0 { // of each row its length, 4 bytes little-endian, then its bytes
		for raw := request.RawInputContents[0]; len(raw) > 0; {
			if len(raw) < 4 || uint64(len(raw)-4) < uint64(binary.LittleEndian.Uint32(raw)) {
				return nil, fmt.Errorf("the tensor ends within a row")
			}
			end := 4 + binary.LittleEndian.Uint32(raw)
			rows, raw = append(rows, raw[4:end]), raw[end:]
		}
	}
	if int64(len(rows)) != request.Inputs[0].Shape[0] {
		return nil, fmt.Errorf("the shape says %d rows; there are %d", request.Inputs[0].Shape[0], len(rows))
	}
	return rows, nil
}

func main() {
	port := "8102"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(messageBytesMax))
	pb.RegisterGRPCInferenceServiceServer(server, operator{})
	fmt.Println("listens on", listener.Addr())
	log.Fatal(server.Serve(listener))
}
