import Config

config :shape_router,
  filter:
    (case System.get_env("SHAPE_FILTER", "own") do
       "own" -> {:shadow, Host.Filter}
       "native" -> :native
       "beam" -> :beam
     end)
