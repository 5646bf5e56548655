mod network;
mod processes;
mod redis;
mod s3;
