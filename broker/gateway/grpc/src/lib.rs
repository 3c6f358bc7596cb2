//! gateway-grpc
