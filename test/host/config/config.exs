import Config

config :host, Host.Collector, stack_id: "stack-1"
