// Flags -> config -> build the house -> run. The commands stand in commands/.

int main() { return 1; }
