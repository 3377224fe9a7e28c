[
  inputs: [
    "{mix,.formatter}.exs",
    "{lib,test,demo,benches,config}/**/*.{ex,exs}",
    "native/*.exs"
  ]
]
